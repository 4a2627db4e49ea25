"""``POST /oauth/introspect`` (RFC 7662): what a token says and whether it still holds, for those whom it concerns.

A confidential client learns of tokens for an audience that it serves, and of its own. Every other token is
inactive to it, like one that does not exist.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AuthenticationFailed, InvalidClient
from admittance.server.access.answers import answering
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.form import form, required
from admittance.server.access.model import AccessClaims, Client, Session, confirmation
from admittance.server.access.rfc9068 import AccessTokens
from admittance.server.access.scopes import show_scope
from admittance.server.access.sessions import Sessions
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.http import reply

INTROSPECT_PATH = "/oauth/introspect"
_INACTIVE: dict[str, Any] = {"active": False}


class IntrospectionEndpoint:
    """Reads alone: introspecting changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        authentication: ClientAuthentication,
        tokens: AccessTokens,
        sessions: Sessions,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authentication = authentication
        self._tokens = tokens
        self._sessions = sessions

    def routes(self) -> list[Route]:
        return [Route(INTROSPECT_PATH, answering(self._introspect), methods=["POST"])]

    async def _introspect(self, request: Request) -> Response:
        parameters = await form(request)
        client = (await self._authentication.client(request, parameters)).client
        if client.is_public:
            raise InvalidClient("Only a client that authenticates may introspect.")
        return reply(await self._found(required(parameters, "token"), client))

    async def _found(self, token: str, client: Client) -> dict[str, Any]:
        now = self._clock()
        try:
            claims = self._tokens.verify(token, now=now)
        except AuthenticationFailed:
            claims = None
        async with self._database.read() as connection:
            if claims is not None:
                if not _concerns(client, claims.client_id, claims.audience):
                    return _INACTIVE
                living = await self._sessions.is_living(connection, claims, now=now)
                return self._access(claims) if living else _INACTIVE
            found = await self._sessions.of_refresh_token(connection, token, now=now)
        if found is None or not found[1] or found[0].client_id != client.client_id:
            return _INACTIVE
        return self._refresh(found[0])

    def _access(self, claims: AccessClaims) -> dict[str, Any]:
        content: dict[str, Any] = {
            "active": True,
            "iss": self._tokens.issuer,
            "sub": claims.subject,
            "aud": claims.audience,
            "client_id": claims.client_id,
            "scope": show_scope(claims.scope),
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "jti": claims.token_id,
            "token_type": "Bearer" if claims.jkt is None else "DPoP",
        }
        if cnf := confirmation(claims.jkt, claims.x5t_s256):
            content["cnf"] = cnf
        return content

    def _refresh(self, session: Session) -> dict[str, Any]:
        return {
            "active": True,
            "iss": self._tokens.issuer,
            "sub": session.account_id,
            "client_id": session.client_id,
            "scope": show_scope(session.scope),
            "exp": session.expires_at,
        }


def _concerns(client: Client, client_id: str, audience: str) -> bool:
    return client_id == client.client_id or audience in client.audiences
