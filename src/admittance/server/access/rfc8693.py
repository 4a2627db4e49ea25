"""Token exchange (RFC 8693): an account's access token for a token that a device takes (RFC 8707)."""

import re
from typing import Any

from admittance.errors import AuthenticationFailed, InvalidRequest, InvalidScope, Malformed, UnsupportedTokenType
from admittance.protocol.access.device_nonces import NONCE_BYTES
from admittance.server.access.form import Parameters, required
from admittance.server.access.ports import DeviceTokenRequest, DeviceTokens, TokenFormat
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.scopes import DEVICES
from admittance.server.access.sessions import Sessions
from admittance.server.access.token_endpoint import TokenRequest
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.wire import base64url

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SHARE_BYTES = 32
MAX_ACTIONS = 32
_FORMATS: dict[str, TokenFormat | None] = {ACCESS: None, JWT: "jwt"}
_ACTION = re.compile(r"(GET|POST|PUT|DELETE|FETCH|PATCH|iPATCH):(/[\x21\x23-\x5b\x5d-\x7e]{0,127})")


class TokenExchangeGrant:
    """Asks `device_tokens`, in the name of the account whose token is exchanged by the client that holds its key."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        proofs: Proofs,
        sessions: Sessions,
        resources: Resources,
        device_tokens: DeviceTokens,
    ) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._sessions = sessions
        self._resources = resources
        self._device_tokens = device_tokens

    async def answer(self, request: TokenRequest) -> dict[str, Any]:
        """Raises `InvalidRequest`, `InvalidTarget`, `InvalidScope`, `UnsupportedTokenType`, or what the device
        tokens' issuer raises.
        """
        parameters = request.parameters
        if required(parameters, "subject_token_type") != ACCESS or "actor_token" in parameters:
            raise UnsupportedTokenType("Exchange an access token of this server, without an actor.")
        wanted = parameters.get("requested_token_type", ACCESS)
        if wanted not in _FORMATS:
            raise UnsupportedTokenType("This server issues no token of that type.")
        device_id = self._resources.device_id(required(parameters, "resource"))
        actions, share = _actions(parameters), _share(parameters)
        proof, now = self._proofs.present(request.proof), self._clock()
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, proof, now)
            try:
                account = await self._sessions.find(connection, required(parameters, "subject_token"), now=now)
            except AuthenticationFailed:
                raise InvalidRequest("The subject token is unknown or has ended.") from None
        _check_subject(account, request, proof.jkt)
        issued = await self._device_tokens.issue(
            DeviceTokenRequest(
                account_id=account.account_id,
                client_id=account.client_id,
                jkt=account.jkt,
                device_id=device_id,
                actions=actions,
                client_share=share,
                attested_until=request.proven.attested_until,
                session_id=account.session_id,
                token_format=_FORMATS[wanted],
                cnonce=_cnonce(parameters),
            )
        )
        epoch_list = {"epoch_list": base64url.encode(issued.epoch_list)} if issued.epoch_list else {}
        return {
            "access_token": issued.access_token,
            "issued_token_type": wanted,
            "token_type": "PoP",
            "expires_in": max(0, issued.expires_at - int(now)),
            "scope": " ".join(action.replace(" ", ":", 1) for action in issued.actions),
            "ace_profile": "coap_oscore",
            "server_share": base64url.encode(issued.server_share),
            "grant": issued.grant_id,
            **epoch_list,
        }


def _check_subject(account: AuthenticatedAccount, request: TokenRequest, jkt: str) -> None:
    if account.jkt != jkt or account.client_id != request.proven.client.client_id:
        raise InvalidRequest("The subject token is another client's.")
    if DEVICES not in account.scope:
        raise InvalidScope("The subject token was not given the scope devices.")


def _actions(parameters: Parameters) -> tuple[str, ...]:
    scope = parameters.get("scope")
    if scope is None:
        return ()
    found = [_ACTION.fullmatch(name) for name in scope.split(" ")]
    if len(found) > MAX_ACTIONS:
        raise InvalidScope("The scope names too many actions.")
    actions = tuple(f"{match[1]} {match[2]}" for match in found if match is not None)
    if len(actions) != len(found):
        raise InvalidScope("A device's actions look like PUT:/lock.")
    return actions


def _share(parameters: Parameters) -> bytes:
    try:
        return base64url.decode(required(parameters, "client_share"), length=SHARE_BYTES)
    except Malformed:
        raise InvalidRequest(f"client_share is {SHARE_BYTES} bytes in base64url.") from None


def _cnonce(parameters: Parameters) -> bytes:
    if "cnonce" not in parameters:
        return b""
    try:
        return base64url.decode(parameters["cnonce"], length=NONCE_BYTES)
    except Malformed:
        raise InvalidRequest(f"cnonce is {NONCE_BYTES} bytes in base64url.") from None
