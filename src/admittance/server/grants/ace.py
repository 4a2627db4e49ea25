"""ACE over HTTPS (RFC 9200): device tokens for constrained clients, and their introspection by devices, in CBOR.

The client is one that an account has let in; it proves itself by its access token and key, as at every other route.
It brings no share of the possession key: the answer's ``cnf`` has the whole (RFC 9203, section 3.2).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance import errors
from admittance.errors import Malformed
from admittance.protocol.access.possession import master_secret
from admittance.server.access.ports import DeviceToken, DeviceTokenRequest, DeviceTokens
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.enrolment.model import AuthenticatedDevice
from admittance.server.grants import key_store
from admittance.server.grants.actions import actions_of, permissions_of
from admittance.server.grants.model import parse_grant_id
from admittance.server.http import Uncached, raw_body, require_type
from admittance.server.problems import headers_for
from admittance.wire import ace, base64url
from admittance.wire.ace_introspection import INACTIVE, MAX_REQUEST_BYTES, Active, IntrospectionRequest
from admittance.wire.cwt import OscoreConfirmation

MEDIA_TYPE: Final = "application/ace+cbor"
TOKENS_AT: Final = "/ace/token"
INTROSPECT_AT: Final = "/ace/introspect"

Handler = Callable[[Request], Awaitable[Response]]
DeviceOf = Callable[[Request], Awaitable[AuthenticatedDevice]]

_ERRORS: dict[type[errors.AdmittanceError], tuple[int, int]] = {
    errors.KeyRefused: (400, ace.UNSUPPORTED_POP_KEY),
    errors.Malformed: (400, ace.INVALID_REQUEST),
    errors.TooLarge: (413, ace.INVALID_REQUEST),
    errors.AuthenticationFailed: (401, ace.INVALID_CLIENT),
    errors.ScopeMissing: (403, ace.UNAUTHORIZED_CLIENT),
    errors.NotFound: (400, ace.INVALID_GRANT),
    errors.Expired: (400, ace.INVALID_GRANT),
    errors.NotAllowed: (400, ace.INVALID_SCOPE),
    errors.UnsupportedGrantType: (400, ace.UNSUPPORTED_GRANT_TYPE),
}
"""HTTP status, and the error of RFC 9200, section 5.8.3, for what it has a word for; others are problem documents."""


class AceEndpoints:
    """`origin` is the server's: the audience of a device is ``<origin>/d/<device id>``."""

    def __init__(
        self,
        *,
        origin: str,
        database: Database,
        authenticator: Authenticator,
        device_tokens: DeviceTokens,
        clock: Clock,
    ) -> None:
        self._prefix = f"{origin}/d/"
        self._database = database
        self._authenticator = authenticator
        self._device_tokens = device_tokens
        self._clock = clock

    def people_routes(self) -> list[Route]:
        return [Route(TOKENS_AT, _answering(self._token), methods=["POST"])]

    def device_routes(self, device_of: DeviceOf) -> list[Route]:
        """`device_of` tells which device sent a request."""

        async def introspect(request: Request) -> Response:
            return await self._introspect(request, await device_of(request))

        return [Route(INTROSPECT_AT, _answering(introspect), methods=["POST"])]

    async def _token(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="devices")
        asked = ace.TokenRequest.decode(await _body(request, ace.MAX_TOKEN_BYTES))
        device_id = self._device_id(account, asked)
        actions = _actions(asked.scope)
        issued = await self._device_tokens.issue(
            DeviceTokenRequest(
                account_id=account.account_id,
                client_id=account.client_id,
                jkt=account.jkt,
                device_id=device_id,
                actions=actions,
                client_share=b"",
                attested_until=account.attested_until,
                session_id=account.session_id,
            )
        )
        response = ace.TokenResponse(
            access_token=base64url.decode(issued.access_token),
            expires_in_s=max(0, issued.expires_at - int(self._clock())),
            scope="" if actions else permissions_of(issued.actions),
            token_type=ace.PROOF_OF_POSSESSION,
            profile=ace.COAP_OSCORE,
            confirmation=_confirmation(issued, device_id, account.client_id),
        )
        return Uncached(response.encode(), MEDIA_TYPE, 201)

    def _device_id(self, account: AuthenticatedAccount, asked: ace.TokenRequest) -> str:
        """The device of a request that this server can grant. Raises what is wrong with it."""
        if asked.grant_type != ace.CLIENT_CREDENTIALS:
            raise errors.UnsupportedGrantType("This endpoint knows no other grant than client credentials.")
        if asked.client_id not in ("", account.client_id) or asked.client_secret:
            raise Malformed("The client proves itself by its token and key, and by nothing else.")
        if asked.confirmation is not None:
            raise errors.KeyRefused("The possession key is made by the server: send no req_cnf.")
        if asked.cnonce:
            raise Malformed("A device that is online asks for no cnonce.")
        if not asked.audience.startswith(self._prefix):
            raise Malformed("The audience is a device of this server, as its setup code names it.")
        return asked.audience.removeprefix(self._prefix)

    async def _introspect(self, request: Request, device: AuthenticatedDevice) -> Response:
        asked = IntrospectionRequest.decode(await _body(request, MAX_REQUEST_BYTES))
        now = self._clock()
        async with self._database.read() as connection:
            key = await key_store.key(connection, asked.token)
        is_active = (
            key is not None
            and key.ended is None
            and (key.device_id, key.epoch) == (device.device_id, device.epoch)
            and key.not_before <= now < key.expires_at
        )
        if key is None or not is_active:
            return Uncached(INACTIVE, MEDIA_TYPE)
        found = Active(
            audience=self._prefix + key.device_id,
            client_id=key.client_id,
            scope=key.permissions,
            token_id=key.token,
            not_before=key.not_before,
            expires_at=key.expires_at,
            token_type=ace.PROOF_OF_POSSESSION,
            profile=ace.COAP_OSCORE,
        )
        return Uncached(found.encode(), MEDIA_TYPE)


def _actions(scope: ace.Scope) -> tuple[str, ...]:
    """AIF, or a text such as ``PUT:/lock GET:/lock``. None: all that a grant allows."""
    if isinstance(scope, str):
        return tuple(name.replace(":", " ", 1) for name in scope.split(" ") if name)
    return actions_of(scope)


def _confirmation(issued: DeviceToken, device_id: str, client_id: str) -> OscoreConfirmation:
    """The input material of the context, of which the token is the id; what it does not say is RFC 9203's default."""
    secret = master_secret(
        issued.server_share,
        client_share=b"",
        device_id=device_id,
        client=client_id,
        grant=parse_grant_id(issued.grant_id),
    )
    return OscoreConfirmation(base64url.decode(issued.access_token), secret)


async def _body(request: Request, max_bytes: int) -> bytes:
    require_type(request, MEDIA_TYPE)
    return await raw_body(request, max_bytes)


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except errors.AdmittanceError as error:
            row = next((_ERRORS[kind] for kind in type(error).__mro__ if kind in _ERRORS), None)
            if row is None:
                raise
            status, number = row
            content = ace.ErrorResponse(number, str(error)).encode()
            return Uncached(content, MEDIA_TYPE, status, headers_for(error))

    return answer
