"""The grants of RFC 6749: authorization code (section 4.1), client credentials (4.4), refresh (6)."""

from admittance.errors import InvalidGrant, InvalidScope
from admittance.server.access.codes import Codes
from admittance.server.access.form import required
from admittance.server.access.model import REFRESH, Session, TokenAnswer
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9068 import AccessTokens
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.scopes import allowed_scope, parse_scope
from admittance.server.access.sessions import Sessions
from admittance.server.access.token_endpoint import TokenRequest
from admittance.server.accounts.trust import trust_first
from admittance.server.clock import Clock
from admittance.server.database import Database

_USED_CODE = "The code was used before; what it gave has ended. Log in again."
_REUSED = "The refresh token was used before; its session has ended. Log in again."


class AuthorizationCodeGrant:
    """Turns a code into a session."""

    def __init__(self, *, database: Database, clock: Clock, proofs: Proofs, codes: Codes, sessions: Sessions) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._codes = codes
        self._sessions = sessions

    async def answer(self, request: TokenRequest) -> TokenAnswer:
        """Raises `InvalidGrant`, also for a code that was used before: then what it gave has ended."""
        client = request.proven.client
        code, verifier = required(request.parameters, "code"), required(request.parameters, "code_verifier")
        now = self._clock()
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, request.proof, now)
            session = await self._codes.redeem(
                connection,
                code,
                client=client,
                redirect_uri=request.parameters.get("redirect_uri"),
                verifier=verifier,
                jkt=request.jkt,
                now=now,
            )
            if session is not None and client.first_party and session.jkt is not None:
                await trust_first(connection, session.account_id, session.jkt, int(now))
        if session is None:
            raise InvalidGrant(_USED_CODE)
        return _answer(self._sessions, session, request)


class RefreshGrant:
    """Gives a session's next tokens for its current refresh token."""

    def __init__(self, *, database: Database, clock: Clock, proofs: Proofs, sessions: Sessions) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._sessions = sessions

    async def answer(self, request: TokenRequest) -> TokenAnswer:
        """Raises `InvalidGrant`, also for a refresh token that was used before: then the session has ended."""
        token = required(request.parameters, "refresh_token")
        asked = request.parameters.get("scope")
        now = self._clock()
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, request.proof, now)
            session = await self._sessions.refresh(
                connection, token, client=request.proven.client, jkt=request.jkt, now=now
            )
            if session is not None and asked is not None and not parse_scope(asked) <= session.scope:
                raise InvalidScope("The session was not given this scope.")
        if session is None:
            raise InvalidGrant(_REUSED)
        narrowed = None if asked is None else parse_scope(asked)
        return _answer(self._sessions, session, request, narrowed)


class ClientCredentialsGrant:
    """A token for a confidential client itself; it stands for no account and has no session."""

    def __init__(
        self, *, database: Database, clock: Clock, proofs: Proofs, tokens: AccessTokens, resources: Resources
    ) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._tokens = tokens
        self._resources = resources

    async def answer(self, request: TokenRequest) -> TokenAnswer:
        client = request.proven.client
        scope = allowed_scope(request.parameters.get("scope"), client.scope)
        audience = await self._resources.audience(request.parameters)
        now = self._clock()
        if request.proof is not None:
            async with self._database.transaction() as connection:
                await self._proofs.spend(connection, request.proof, now)
        token, expires_in_s = self._tokens.issue(
            subject=client.client_id,
            client_id=client.client_id,
            audience=audience,
            scope=scope,
            session_id=None,
            jkt=request.jkt,
            x5t_s256=client.x5t_s256,
            not_after=None,
            attested_until=request.proven.attested_until,
            now=now,
        )
        return TokenAnswer(
            access_token=token,
            token_type="Bearer" if request.jkt is None else "DPoP",
            expires_in_s=expires_in_s,
            scope=scope,
        )


def _answer(
    sessions: Sessions, session: Session, request: TokenRequest, scope: frozenset[str] | None = None
) -> TokenAnswer:
    return sessions.answer(
        session,
        refreshable=REFRESH in request.proven.client.grants,
        x5t_s256=request.proven.client.x5t_s256,
        attested_until=request.proven.attested_until,
        scope=scope,
    )
