"""What one person does in one browser, from the first page to the last answer.

A flow is named by a secret in its pages and belongs to the browser that holds the cookie. The cookie changes when
the person logs in, and the flow ends with its answer.
"""

import hmac
from dataclasses import dataclass

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from admittance.errors import Expired, Malformed, NotAllowed
from admittance.server.access.authorization_request import AuthorizationRequest
from admittance.server.access.bound import Bound
from admittance.server.access.form import Parameters
from admittance.server.access.tables import oauth_flows
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.wire import base64url

COOKIE = "__Host-admittance-flow"
FLOW_TTL_S = 600
_OVER = "This page is over, or was opened in another browser. Start again from the app."


class DeviceAnswer(msgspec.Struct, frozen=True, tag="device"):
    """The person answers a device's code (RFC 8628); `user_code` is what the link brought, to be confirmed."""

    user_code: str


Purpose = AuthorizationRequest | DeviceAnswer


@dataclass(frozen=True)
class Flow:
    """A flow as its browser continues it. `account_id` is None until the person has logged in."""

    handle: str
    browser: str
    purpose: Purpose
    account_id: str | None
    device_code_mac: bytes | None


class Flows:
    """Begins, finds and ends. Only HMACs of handles and cookies are stored."""

    def __init__(self, *, database: Database, clock: Clock, mac_key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._handles = SecretHasher(mac_key, "flow")
        self._browsers = SecretHasher(mac_key, "browser")
        self._bound = Bound(oauth_flows)
        self._csrf_key = hmac.digest(mac_key, b"admittance/csrf/1", "sha256")

    async def begin(self, request: Request, purpose: Purpose) -> Flow:
        """A flow of the browser that sent `request`; `set_cookie` makes it the browser's.

        Raises `Unavailable` when too many are open.
        """
        now = self._clock()
        flow = Flow(new_secret(), self._cookie(request) or new_secret(), purpose, None, None)
        values = {
            "flow_mac": self._handles.mac(flow.handle),
            "browser_mac": self._browsers.mac(flow.browser),
            "parameters": msgspec.json.encode(purpose).decode(),
            "expires_at": int(now) + FLOW_TTL_S,
        }
        async with self._database.transaction() as connection:
            await self._bound.take(connection, now)
            await connection.execute(insert(oauth_flows), values)
        return flow

    async def find(self, request: Request, parameters: Parameters) -> Flow:
        """The flow that a page of this browser names. Raises `Expired`, whatever is wrong with it."""
        browser = self._cookie(request)
        try:
            flow_mac = self._handles.mac(parameters.get("flow", ""))
        except Malformed:
            raise Expired(_OVER) from None
        if browser is None:
            raise Expired(_OVER)
        query = select(oauth_flows).where(
            oauth_flows.c.flow_mac == flow_mac,
            oauth_flows.c.browser_mac == self._browsers.mac(browser),
            oauth_flows.c.expires_at > int(self._clock()),
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise Expired(_OVER)
        purpose = msgspec.json.decode(row.parameters, type=Purpose)
        return Flow(parameters["flow"], browser, purpose, row.account_id, row.device_code_mac)

    async def submitted(self, request: Request, parameters: Parameters) -> Flow:
        """The flow of a form that one of its own pages sent.

        Raises:
            Expired: as `find`.
            NotAllowed: another site sent the form.
        """
        flow = await self.find(request, parameters)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise NotAllowed("Another site sent this form.")
        if not hmac.compare_digest(parameters.get("csrf", "").encode(), self.csrf(flow).encode()):
            raise NotAllowed("Another site sent this form.")
        return flow

    def csrf(self, flow: Flow) -> str:
        """What the forms of a flow carry beside its handle; it changes with the cookie."""
        text = f"{flow.handle}|{flow.browser}".encode()
        return base64url.encode(hmac.digest(self._csrf_key, text, "sha256"))

    async def log_in(self, connection: AsyncConnection, flow: Flow, account_id: str) -> Flow:
        """Note who the person is; the browser gets another cookie, for all of its flows."""
        browser = new_secret()
        await connection.execute(
            update(oauth_flows)
            .where(oauth_flows.c.browser_mac == self._browsers.mac(flow.browser))
            .values(browser_mac=self._browsers.mac(browser))
        )
        await connection.execute(
            update(oauth_flows)
            .where(oauth_flows.c.flow_mac == self._handles.mac(flow.handle))
            .values(account_id=account_id)
        )
        return Flow(flow.handle, browser, flow.purpose, account_id, flow.device_code_mac)

    async def choose_device(self, connection: AsyncConnection, flow: Flow, device_code_mac: bytes) -> None:
        """Note which device the person answers."""
        await connection.execute(
            update(oauth_flows)
            .where(oauth_flows.c.flow_mac == self._handles.mac(flow.handle))
            .values(device_code_mac=device_code_mac)
        )

    async def end(self, connection: AsyncConnection, flow: Flow) -> None:
        """End a flow with its answer, which it gives once. Raises `Expired` when it has ended."""
        ended = await connection.execute(
            delete(oauth_flows).where(oauth_flows.c.flow_mac == self._handles.mac(flow.handle))
        )
        if ended.rowcount != 1:
            raise Expired(_OVER)

    def _cookie(self, request: Request) -> str | None:
        given = request.cookies.get(COOKIE, "")
        try:
            self._browsers.mac(given)
        except Malformed:
            return None
        return given


def set_cookie(response: Response, flow: Flow) -> Response:
    """Make a flow the browser's."""
    response.set_cookie(COOKIE, flow.browser, path="/", secure=True, httponly=True, samesite="lax")
    return response
