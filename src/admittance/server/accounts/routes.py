"""The people API of accounts, and the page that accepts an invite."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.server.accounts import pages
from admittance.server.accounts.networks import PremisesNetwork
from admittance.server.accounts.service import AccountServices
from admittance.server.accounts.throttle import source_of
from admittance.server.http import body, reply

CountDevices = Callable[[str], Awaitable[int]]


class CreateInvite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: str
    operator: bool = False
    quota: int | None = None


class AcceptInvite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: str
    email: str
    password: str
    display_name: str


class PutNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ssid: str
    passphrase: str


def routes(services: AccountServices, *, origin: str, count_devices: CountDevices) -> list[Route]:
    """The routes of this package.

    Args:
        origin: where links of invites lead.
        count_devices: how many devices an account (by id) owns now.
    """
    handlers = _Handlers(services, origin, count_devices)
    return [
        Route("/api/invites", handlers.create_invite, methods=["POST"]),
        Route("/api/invites/accept", handlers.accept_invite, methods=["POST"]),
        Route("/api/account", handlers.account, methods=["GET"]),
        Route("/api/networks", handlers.list_networks, methods=["GET"]),
        Route("/api/networks/{name}", handlers.put_network, methods=["PUT"]),
        Route("/api/networks/{name}", handlers.remove_network, methods=["DELETE"]),
        *pages.routes(),
    ]


class _Handlers:
    def __init__(self, services: AccountServices, origin: str, count_devices: CountDevices) -> None:
        self._services = services
        self._origin = origin
        self._count_devices = count_devices

    async def create_invite(self, request: Request) -> Response:
        operator = await self._services.authenticator.operator(request)
        asked = await body(request, CreateInvite)
        invite = await self._services.invites.create(
            email=asked.email,
            operator=asked.operator,
            quota=asked.quota,
            actor=f"account:{operator.account_id}",
        )
        return reply({"link": invite.link(self._origin), "expires_at": invite.expires_at}, status=201)

    async def accept_invite(self, request: Request) -> Response:
        asked = await body(request, AcceptInvite)
        account_id = await self._services.invites.accept(
            secret=asked.secret,
            email=asked.email,
            password=asked.password,
            display_name=asked.display_name,
            source=source_of(request),
        )
        account = await self._services.accounts.get(account_id)
        return reply({"account_id": account.account_id, "email": account.email}, status=201)

    async def account(self, request: Request) -> Response:
        caller = await self._services.authenticator.account(request, scope="account")
        account = await self._services.accounts.get(caller.account_id)
        return reply(
            {
                "account_id": account.account_id,
                "email": account.email,
                "display_name": account.display_name,
                "operator": account.operator,
                "quota": account.quota,
                "devices": await self._count_devices(account.account_id),
            }
        )

    async def list_networks(self, request: Request) -> Response:
        caller = await self._services.authenticator.account(request, scope="account")
        networks = await self._services.networks.list(caller.account_id)
        return reply({"networks": [{"name": network.name, "ssid": network.ssid} for network in networks]})

    async def put_network(self, request: Request) -> Response:
        caller = await self._services.authenticator.account(request, scope="account")
        asked = await body(request, PutNetwork)
        network = PremisesNetwork(name=request.path_params["name"], ssid=asked.ssid, passphrase=asked.passphrase)
        await self._services.networks.put(caller.account_id, network)
        return reply({"name": network.name, "ssid": network.ssid})

    async def remove_network(self, request: Request) -> Response:
        caller = await self._services.authenticator.account(request, scope="account")
        await self._services.networks.remove(caller.account_id, request.path_params["name"])
        return Response(status_code=204)
