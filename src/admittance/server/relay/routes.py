"""What people's apps ask of the relay over HTTP."""

from dataclasses import asdict
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.server.accounts.authenticate import Authenticator
from admittance.server.http import body, reply
from admittance.server.relay.authentication import Access
from admittance.server.relay.node import RelayNode
from admittance.server.relay.tickets import TICKET_TTL_S, Tickets
from admittance.wire import base64url
from admittance.wire.device_id import check_device_id
from admittance.wire.relay import TICKET_PATH


class TicketRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: Annotated[str, msgspec.Meta(max_length=64)]


class TicketRoutes:
    """`POST /relay/tickets`."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        tickets: Tickets,
        access: Access,
        urls: tuple[str, ...],
    ) -> None:
        self._authenticator = authenticator
        self._tickets = tickets
        self._access = access
        self._urls = urls

    def routes(self) -> list[Route]:
        return [Route(TICKET_PATH, self._issue, methods=["POST"])]

    async def _issue(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="devices")
        asked = await body(request, TicketRequest)
        device_id = check_device_id(asked.device_id)
        await self._access.may_connect(account.account_id, device_id, account.attested_until)
        ticket = await self._tickets.issue(account.session_id, device_id, account.attested_until)
        content = {"ticket": base64url.encode(ticket), "expires_in_s": TICKET_TTL_S, "urls": list(self._urls)}
        return reply(content, 201)


def status_routes(authenticator: Authenticator, node: RelayNode) -> list[Route]:
    """`GET /api/relay`, for operators: what this node holds and has done."""

    async def status(request: Request) -> Response:
        await authenticator.operator(request)
        held = {
            "devices": node.devices,
            "apps": node.apps,
            "connections": node.gate.connections,
            "half_open": node.gate.half_open,
            "turned_away": node.gate.refused,
            "is_blind": node.is_blind,
        }
        return reply({**held, "since_start": asdict(node.counters)})

    return [Route("/api/relay", status, methods=["GET"])]
