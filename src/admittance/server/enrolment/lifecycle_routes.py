"""What owners and operators say of devices, and what became of them."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.enrolment.fleet import Fleet
from admittance.server.enrolment.history import History
from admittance.server.enrolment.lifecycle import Lifecycle
from admittance.server.enrolment.shown import shown_device
from admittance.server.http import body, reply

Act = Callable[[AuthenticatedAccount, str, Request], Awaitable[None]]


class AskDecommission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class AskAssignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`email` None: anybody may claim the device again."""

    email: str | None


def routes(*, authenticator: Authenticator, fleet: Fleet, lifecycle: Lifecycle, history: History) -> list[Route]:
    async def lost(account: AuthenticatedAccount, device_id: str, _request: Request) -> None:
        await lifecycle.report(account, device_id, "lost")

    async def stolen(account: AuthenticatedAccount, device_id: str, _request: Request) -> None:
        await lifecycle.report(account, device_id, "stolen")

    async def found(account: AuthenticatedAccount, device_id: str, _request: Request) -> None:
        await lifecycle.found(account, device_id)

    async def assign(account: AuthenticatedAccount, device_id: str, request: Request) -> None:
        await lifecycle.assign(account, device_id, (await body(request, AskAssignment)).email)

    async def announce(account: AuthenticatedAccount, device_id: str, _request: Request) -> None:
        await lifecycle.announce_release(account, device_id)

    async def keep(account: AuthenticatedAccount, device_id: str, _request: Request) -> None:
        await lifecycle.keep(account, device_id)

    def acting(name: str, act: Act) -> Route:
        async def handle(request: Request) -> Response:
            account = await authenticator.account(request, scope="activate")
            device_id = request.path_params["device_id"]
            await act(account, device_id, request)
            return reply(shown_device(await fleet.show(account, device_id), to_operator=account.operator))

        return Route(f"/api/devices/{{device_id}}/{name}", handle, methods=["POST"])

    async def decommission(request: Request) -> Response:
        account = await authenticator.account(request, scope="activate")
        asked = await body(request, AskDecommission)
        await lifecycle.decommission(account, request.path_params["device_id"], asked.reason)
        return Response(status_code=204)

    async def events(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        return reply({"events": await history.of(account, request.path_params["device_id"])})

    return [
        acting("lost", lost),
        acting("stolen", stolen),
        acting("found", found),
        acting("assign", assign),
        acting("release-notice", announce),
        acting("keep", keep),
        Route("/api/devices/{device_id}/decommission", decommission, methods=["POST"]),
        Route("/api/devices/{device_id}/history", events, methods=["GET"]),
    ]
