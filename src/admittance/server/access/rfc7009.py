"""``POST /oauth/revoke`` (RFC 7009): a client ends a session of its own by either of its tokens."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AuthenticationFailed
from admittance.server.access.answers import answering
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.form import form, required
from admittance.server.access.model import AccessClaims, Client
from admittance.server.access.rfc9068 import AccessTokens
from admittance.server.access.sessions import Sessions
from admittance.server.access.tables import oauth_ended_tokens
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database

REVOKE_PATH = "/oauth/revoke"


class RevocationEndpoint:
    """Answers 200 whether or not there was such a token, as section 2.2 asks."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        authentication: ClientAuthentication,
        tokens: AccessTokens,
        sessions: Sessions,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._authentication = authentication
        self._tokens = tokens
        self._sessions = sessions

    def routes(self) -> list[Route]:
        return [Route(REVOKE_PATH, answering(self._revoke), methods=["POST"])]

    async def _revoke(self, request: Request) -> Response:
        parameters = await form(request)
        proven = await self._authentication.client(request, parameters)
        token, now = required(parameters, "token"), self._clock()
        try:
            claims = self._tokens.verify(token, now=now)
        except AuthenticationFailed:
            claims = None
        async with self._database.transaction() as connection:
            if claims is None:
                await self._end_by_refresh_token(connection, token, proven.client, now)
            elif claims.client_id == proven.client.client_id:
                await self._end_by_access_token(connection, claims, now)
        return Response(status_code=200, headers={"cache-control": "no-store"})

    async def _end_by_refresh_token(
        self, connection: AsyncConnection, token: str, client: Client, now: float
    ) -> None:
        found = await self._sessions.of_refresh_token(connection, token, now=now)
        if found is not None and found[0].client_id == client.client_id:
            await self._sessions.end(connection, found[0].session_id, why="revoked", now=now)

    async def _end_by_access_token(self, connection: AsyncConnection, claims: AccessClaims, now: float) -> None:
        if claims.session_id is not None:
            await self._sessions.end(connection, claims.session_id, why="revoked", now=now)
        elif await self._sessions.is_living(connection, claims, now=now):
            values = {"token_id": claims.token_id, "expires_at": claims.expires_at}
            await connection.execute(insert(oauth_ended_tokens), values)
            subject = f"client:{claims.client_id}"
            await self._audit.append(connection, event="token.ended", actor=subject, subject=subject, now=now)
