"""The pages between a request and its answer: log in, enter a device's code, allow or deny."""

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AdmittanceError, Expired, NotFound, Throttled
from admittance.server.access.answers import Handler
from admittance.server.access.authorization_request import AuthorizationRequest
from admittance.server.access.authorize import SIGN_IN_PATH, AuthorizationEndpoint
from admittance.server.access.clients import Clients
from admittance.server.access.flows import DeviceAnswer, Flow, Flows, set_cookie
from admittance.server.access.form import form, query
from admittance.server.access.logins import Logins
from admittance.server.access.pages import CONSENT, DEVICE_CODE, SIGN_IN, message, scope_items, see_other
from admittance.server.access.rfc8252 import form_action
from admittance.server.access.rfc8628 import VERIFICATION_PATH, AskingDevice, DeviceCodes
from admittance.server.access.scopes import scope_of_account, show_scope
from admittance.server.accounts.service import Accounts
from admittance.server.accounts.throttle import LoginThrottle, source_of
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.problems import problem_for

CONSENT_PATH = "/oauth/consent"
DEVICE_CODE_PATH = "/oauth/device-code"
MAX_SHOWN_CODE_CHARACTERS = 16
_WRONG = "The address or the password is wrong."
_BROWSER_WARNING = "This app wants to act in your name."
_DEVICE_WARNING = (
    "A device or program that showed you a code wants to act in your name. If somebody sent you the code, deny: they "
    "would get your access."
)


class Interaction:
    """Serves the pages. Every answer is a page or a redirect of ours; nothing here is for programs."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        accounts: Accounts,
        clients: Clients,
        logins: Logins,
        throttle: LoginThrottle,
        flows: Flows,
        device_codes: DeviceCodes,
        endpoint: AuthorizationEndpoint,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._accounts = accounts
        self._clients = clients
        self._logins = logins
        self._throttle = throttle
        self._flows = flows
        self._device_codes = device_codes
        self._endpoint = endpoint

    def routes(self) -> list[Route]:
        pages = (
            (VERIFICATION_PATH, self._verification, "GET"),
            (SIGN_IN_PATH, self._sign_in, "GET"),
            (SIGN_IN_PATH, self._signed_in, "POST"),
            (DEVICE_CODE_PATH, self._device_code, "GET"),
            (DEVICE_CODE_PATH, self._entered, "POST"),
            (CONSENT_PATH, self._consent, "GET"),
            (CONSENT_PATH, self._decided, "POST"),
        )
        return [Route(path, _shown(handler), methods=[method]) for path, handler, method in pages]

    async def _verification(self, request: Request) -> Response:
        shown = query(request).get("user_code", "")[:MAX_SHOWN_CODE_CHARACTERS]
        flow = await self._flows.begin(request, DeviceAnswer(shown))
        return set_cookie(see_other(f"{SIGN_IN_PATH}?flow={flow.handle}"), flow)

    async def _sign_in(self, request: Request) -> Response:
        flow = await self._flows.find(request, query(request))
        if flow.account_id is not None:
            return see_other(_next(flow))
        return await self._login_page(flow)

    async def _signed_in(self, request: Request) -> Response:
        parameters = await form(request)
        flow, source = await self._flows.submitted(request, parameters), source_of(request)
        try:
            person = await self._logins.check(
                email=parameters.get("email", ""), password=parameters.get("password", ""), source=source
            )
        except Throttled as error:
            return await self._login_page(flow, str(error), status=429)
        if person is None:
            return await self._login_page(flow, _WRONG, status=400)
        async with self._database.transaction() as connection:
            await self._logins.forgive(connection, person, source=source)
            flow = await self._flows.log_in(connection, flow, person.account_id)
        return set_cookie(see_other(_next(flow)), flow)

    async def _device_code(self, request: Request) -> Response:
        flow = await self._flows.find(request, query(request))
        _, purpose = _device_flow(flow)
        return self._code_page(flow, purpose.user_code)

    async def _entered(self, request: Request) -> Response:
        parameters = await form(request)
        flow = await self._flows.submitted(request, parameters)
        account_id, _ = _device_flow(flow)
        entered, source, now = parameters.get("user_code", ""), source_of(request), self._clock()
        bucket = f"user code|{account_id}"
        try:
            await self._throttle.charge(email=bucket, source=source, now=now)
            async with self._database.transaction() as connection:
                device = await self._device_codes.by_user_code(connection, entered, now)
                await self._throttle.forgive(connection, email=bucket, source=source, now=now)
                await self._flows.choose_device(connection, flow, device.device_code_mac)
        except (NotFound, Throttled) as error:
            return self._code_page(flow, "", str(error), status=problem_for(error).status)
        return see_other(f"{CONSENT_PATH}?flow={flow.handle}")

    async def _consent(self, request: Request) -> Response:
        flow = await self._flows.find(request, query(request))
        if flow.account_id is None:
            return see_other(f"{SIGN_IN_PATH}?flow={flow.handle}")
        account = await self._accounts.get(flow.account_id)
        client_id, asked, destination, action = await self._asked(flow)
        client = await self._clients.find(client_id)
        if client is None:
            raise Expired("The app is registered no longer.")
        return CONSENT.show(
            form_action=action,
            client=client.name,
            warning=_DEVICE_WARNING if isinstance(flow.purpose, DeviceAnswer) else _BROWSER_WARNING,
            email=account.email,
            destination=destination,
            items=scope_items(scope_of_account(asked, operator=account.operator)),
            flow=flow.handle,
            csrf=self._flows.csrf(flow),
        )

    async def _decided(self, request: Request) -> Response:
        parameters = await form(request)
        flow = await self._flows.submitted(request, parameters)
        if flow.account_id is None:
            raise Expired("Log in first. Start again from the app.")
        allow = parameters.get("decision") == "allow"
        account = await self._accounts.get(flow.account_id)
        client_id, asked, _, _ = await self._asked(flow)
        scope, now = scope_of_account(asked, operator=account.operator), self._clock()
        async with self._database.transaction() as connection:
            await self._flows.end(connection, flow)
            await self._audit.append(
                connection,
                event="consent.given" if allow else "consent.refused",
                actor=f"account:{account.account_id}",
                subject=f"account:{account.account_id}",
                details={"client": client_id, "scope": show_scope(scope)},
                now=now,
            )
            return await self._answer(connection, flow, account.account_id, scope, allow=allow, now=now)

    async def _answer(
        self,
        connection: AsyncConnection,
        flow: Flow,
        account_id: str,
        scope: frozenset[str],
        *,
        allow: bool,
        now: float,
    ) -> Response:
        asked = flow.purpose
        if isinstance(asked, AuthorizationRequest):
            if not allow:
                return see_other(self._endpoint.denied(asked))
            location = await self._endpoint.allowed(connection, asked, account_id=account_id, scope=scope, now=now)
            return see_other(location)
        await self._device_codes.decide(
            connection, _chosen(flow), account_id=account_id, scope=scope, allow=allow, now=now
        )
        if allow:
            return message("Connected", "You can go back to the device now and close this page.")
        return message("Denied", "The device gets nothing. You can close this page.")

    async def _asked(self, flow: Flow) -> tuple[str, frozenset[str], str, str]:
        """Client id and scope, where the answer goes in words, and what the page's form may lead to."""
        if isinstance(flow.purpose, AuthorizationRequest):
            uri = flow.purpose.target.redirect_uri
            return flow.purpose.client_id, frozenset(flow.purpose.scope), uri, f"'self' {form_action(uri)}"
        device = await self._chosen_device(flow)
        return device.client_id, device.scope, "the device that shows the code.", "'self'"

    async def _chosen_device(self, flow: Flow) -> AskingDevice:
        async with self._database.read() as connection:
            return await self._device_codes.asking(connection, _chosen(flow), self._clock())

    async def _login_page(self, flow: Flow, notice: str = "", *, status: int = 200) -> Response:
        purpose = "to connect a device"
        if isinstance(flow.purpose, AuthorizationRequest):
            client = await self._clients.find(flow.purpose.client_id)
            purpose = f"to go on to {client.name if client else 'the app'}"
        return SIGN_IN.show(
            status=status,
            purpose=f"Log in {purpose}.",
            notice=notice,
            notice_class="error" if notice else "hint",
            flow=flow.handle,
            csrf=self._flows.csrf(flow),
        )

    def _code_page(self, flow: Flow, user_code: str, notice: str = "", *, status: int = 200) -> Response:
        return DEVICE_CODE.show(
            status=status,
            user_code=user_code,
            notice=notice,
            notice_class="error" if notice else "hint",
            flow=flow.handle,
            csrf=self._flows.csrf(flow),
        )


def _next(flow: Flow) -> str:
    path = CONSENT_PATH if isinstance(flow.purpose, AuthorizationRequest) else DEVICE_CODE_PATH
    return f"{path}?flow={flow.handle}"


def _device_flow(flow: Flow) -> tuple[str, DeviceAnswer]:
    """Account and purpose of a flow that answers a device, after the login. Raises `Expired` for any other."""
    if flow.account_id is None or not isinstance(flow.purpose, DeviceAnswer):
        raise Expired("Log in first. Open the page that the device names again.")
    return flow.account_id, flow.purpose


def _shown(handler: Handler) -> Handler:
    """Tell the person what went wrong, on a page."""

    async def show(request: Request) -> Response:
        try:
            return await handler(request)
        except AdmittanceError as error:
            status = problem_for(error).status
            if status == 500:
                raise
            return message("This did not work", str(error), status=status)

    return show


def _chosen(flow: Flow) -> bytes:
    if flow.device_code_mac is None:
        raise Expired("Enter the device's code first. Open the page that the device names again.")
    return flow.device_code_mac
