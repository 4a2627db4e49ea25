"""Authorization codes: single use, for one client, one redirect URI, one code verifier and, where given, one key."""

from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import InvalidGrant, Malformed
from admittance.server.access import rfc7636
from admittance.server.access.model import Client, Session
from admittance.server.access.scopes import show_scope
from admittance.server.access.sessions import Sessions, new_session_id
from admittance.server.access.tables import oauth_codes
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret

CODE_TTL_S = 60
_NO_GRANT = "The code is unknown, expired or used, or of another client, redirect URI or key."


@dataclass(frozen=True)
class CodeRequest:
    """What a code stands for. `redirect_uri` is as the request gave it: empty if it did not."""

    client_id: str
    redirect_uri: str
    scope: frozenset[str]
    audience: str
    code_challenge: str
    jkt: str | None


class Codes:
    """Makes codes, and turns each into one session."""

    def __init__(self, *, sessions: Sessions, mac_key: bytes) -> None:
        self._sessions = sessions
        self._hasher = SecretHasher(mac_key, "authorization-code")

    async def make(self, connection: AsyncConnection, request: CodeRequest, *, account_id: str, now: float) -> str:
        """A code for what an account allowed, in the transaction that records it."""
        code = new_secret()
        await connection.execute(
            insert(oauth_codes).values(
                code_mac=self._hasher.mac(code),
                account_id=account_id,
                client_id=request.client_id,
                redirect_uri=request.redirect_uri,
                scope=show_scope(request.scope),
                audience=request.audience,
                code_challenge=request.code_challenge,
                jkt=request.jkt,
                expires_at=int(now) + CODE_TTL_S,
            )
        )
        return code

    async def redeem(
        self,
        connection: AsyncConnection,
        code: str,
        *,
        client: Client,
        redirect_uri: str | None,
        verifier: str,
        jkt: str | None,
        now: float,
    ) -> Session | None:
        """A session for a code, which is used up. None if it was used before: then what it gave has ended.

        Raises `InvalidGrant`; the code stays as it was.
        """
        try:
            mac = self._hasher.mac(code)
        except Malformed:
            raise InvalidGrant(_NO_GRANT) from None
        row = (await connection.execute(select(oauth_codes).where(oauth_codes.c.code_mac == mac))).first()
        if row is None:
            raise InvalidGrant(_NO_GRANT)
        if row.session_id is not None:
            await self._sessions.end(connection, row.session_id, why="code_reused", now=now)
            return None
        if row.client_id != client.client_id or (redirect_uri or "") != row.redirect_uri:
            raise InvalidGrant(_NO_GRANT)
        if row.jkt is not None and row.jkt != jkt:
            raise InvalidGrant(_NO_GRANT)
        rfc7636.verify(verifier, row.code_challenge)
        session_id = new_session_id()
        used = await connection.execute(
            update(oauth_codes)
            .where(
                oauth_codes.c.code_mac == mac,
                oauth_codes.c.session_id.is_(None),
                oauth_codes.c.expires_at > int(now),
            )
            .values(session_id=session_id)
        )
        if used.rowcount != 1:
            raise InvalidGrant(_NO_GRANT)
        return await self._sessions.begin(
            connection,
            session_id=session_id,
            account_id=row.account_id,
            client=client,
            jkt=jkt,
            scope=frozenset(row.scope.split()),
            audience=row.audience,
            by="authorization_code",
            now=now,
        )
