"""Sessions: each login of an account by a client, its rotating refresh token, and its end.

A refresh token names its session and its number, under a MAC; the session keeps the number that is good now. So every
used one is known for ever, without being stored: whoever shows it again ends the session (RFC 9700, section 4.14.2).
"""

import hmac
import secrets
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, InvalidGrant, Malformed
from admittance.server.access.model import AccessClaims, Client, Session, TokenAnswer
from admittance.server.access.rfc9068 import AccessTokens
from admittance.server.access.scopes import OPERATE, show_scope
from admittance.server.access.tables import oauth_ended_tokens, oauth_sessions
from admittance.server.accounts.model import AuthenticatedAccount, LivingSession
from admittance.server.accounts.store import accounts
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.grants.endings import end_session_keys
from admittance.server.revocations.store import record_ending
from admittance.wire import base64url

_ID_BYTES = 16
_ROTATION_BYTES = 4
_MAC_BYTES = 32
_TOKEN_BYTES = _ID_BYTES + _ROTATION_BYTES + _MAC_BYTES
_FAILED = "The request is not authenticated."
_NO_GRANT = "The refresh token is unknown, ended, or of another client or key. Log in again."

_LIVING: Select[Any] = (
    select(
        oauth_sessions.c.jkt,
        oauth_sessions.c.expires_at,
        accounts.c.account_id,
        accounts.c.email,
        accounts.c.operator,
    )
    .join(accounts, accounts.c.account_id == oauth_sessions.c.account_id)
    .where(oauth_sessions.c.session_id == bindparam("sought"), oauth_sessions.c.expires_at > bindparam("now"))
)
_SESSION = select(oauth_sessions).where(
    oauth_sessions.c.session_id == bindparam("sought"), oauth_sessions.c.expires_at > bindparam("now")
)

_ENDED = select(oauth_ended_tokens.c.token_id).where(oauth_ended_tokens.c.token_id == bindparam("sought"))


class Sessions:
    """Begins, refreshes, finds and ends."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        tokens: AccessTokens,
        mac_key: bytes,
        ttl_s: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._tokens = tokens
        self._refresh_key = hmac.digest(mac_key, b"admittance/refresh-token/1", "sha256")
        self._ttl_s = ttl_s

    async def begin(
        self,
        connection: AsyncConnection,
        *,
        session_id: str,
        account_id: str,
        client: Client,
        jkt: str | None,
        scope: frozenset[str],
        audience: str,
        by: str,
        now: float,
    ) -> Session:
        """A new session in the caller's transaction; `by` is the grant that it rests on."""
        session = Session(
            session_id=session_id,
            account_id=account_id,
            client_id=client.client_id,
            jkt=jkt,
            scope=scope,
            audience=audience,
            rotation=0,
            expires_at=int(now) + self._ttl_s,
        )
        await connection.execute(
            insert(oauth_sessions).values(
                session_id=session.session_id,
                account_id=account_id,
                client_id=client.client_id,
                jkt=jkt,
                scope=show_scope(scope),
                audience=audience,
                rotation=0,
                began_at=int(now),
                expires_at=session.expires_at,
            )
        )
        await self._audit.append(
            connection,
            event="session.began",
            actor=f"account:{account_id}",
            subject=f"account:{account_id}",
            details={"client": client.client_id, "jkt": jkt or "", "scope": show_scope(scope), "by": by},
            now=now,
        )
        return session

    def answer(
        self,
        session: Session,
        *,
        refreshable: bool,
        x5t_s256: str | None = None,
        attested_until: int | None = None,
        scope: frozenset[str] | None = None,
    ) -> TokenAnswer:
        """Tokens of a session; `scope` may be narrower than the session's.

        The access token is bound to the certificate `x5t_s256`, by which the client proved itself.
        """
        token, expires_in_s = self._tokens.issue(
            subject=session.account_id,
            client_id=session.client_id,
            audience=session.audience,
            scope=session.scope if scope is None else scope,
            session_id=session.session_id,
            jkt=session.jkt,
            x5t_s256=x5t_s256,
            not_after=session.expires_at,
            attested_until=attested_until,
            now=self._clock(),
        )
        return TokenAnswer(
            access_token=token,
            token_type="Bearer" if session.jkt is None else "DPoP",
            expires_in_s=expires_in_s,
            scope=session.scope if scope is None else scope,
            refresh_token=self._refresh_token(session) if refreshable else None,
        )

    async def refresh(
        self, connection: AsyncConnection, refresh_token: str, *, client: Client, jkt: str | None, now: float
    ) -> Session | None:
        """Use a refresh token up. None if it was used before: then the session has ended with this transaction.

        Raises `InvalidGrant` for one that is no client's, or another's, or another key's.
        """
        session_id, rotation = self._read(refresh_token)
        row = (await connection.execute(_SESSION, {"sought": session_id, "now": int(now)})).first()
        if row is None or row.client_id != client.client_id or not _same_key(row.jkt, jkt):
            raise InvalidGrant(_NO_GRANT)
        rotated = await connection.execute(
            update(oauth_sessions)
            .where(oauth_sessions.c.session_id == session_id, oauth_sessions.c.rotation == rotation)
            .values(rotation=rotation + 1)
        )
        if rotated.rowcount != 1:
            await self.end(connection, session_id, why="refresh_token_reused", now=now)
            return None
        return _session_of(row, rotation + 1)

    async def find(self, connection: AsyncConnection, access_token: str, *, now: float) -> AuthenticatedAccount:
        """The account of an access token for this server whose session lives; an operator's by `operate` alone.

        Raises:
            AuthenticationFailed: no token of ours, expired, not for this server, or ended.
        """
        claims = self._account_claims(access_token, now)
        row = await self._living_row(connection, claims, now)
        return AuthenticatedAccount(
            account_id=row.account_id,
            email=row.email,
            operator=row.operator and OPERATE in claims.scope,
            jkt=row.jkt,
            client_id=claims.client_id,
            scope=claims.scope,
            session_id=str(claims.session_id),
            attested_until=claims.attested_until,
        )

    async def living(self, connection: AsyncConnection, access_token: str, *, now: float) -> LivingSession:
        """The session of such a token, for who must hear when it ends. Raises `AuthenticationFailed`."""
        claims = self._account_claims(access_token, now)
        row = await self._living_row(connection, claims, now)
        return LivingSession(
            account_id=row.account_id,
            jkt=row.jkt,
            session_id=str(claims.session_id),
            scope=claims.scope,
            expires_at=row.expires_at,
            attested_until=claims.attested_until,
        )

    async def is_living(self, connection: AsyncConnection, claims: AccessClaims, *, now: float) -> bool:
        """Whether what a token rests on still lives."""
        if claims.session_id is None:
            return (await connection.execute(_ENDED, {"sought": claims.token_id})).first() is None
        return (await connection.execute(_LIVING, {"sought": claims.session_id, "now": int(now)})).first() is not None

    async def of_refresh_token(
        self, connection: AsyncConnection, refresh_token: str, *, now: float
    ) -> tuple[Session, bool] | None:
        """The living session of a refresh token, and whether the token is the one that is good now."""
        try:
            session_id, rotation = self._read(refresh_token)
        except InvalidGrant:
            return None
        row = (await connection.execute(_SESSION, {"sought": session_id, "now": int(now)})).first()
        return None if row is None else (_session_of(row, row.rotation), row.rotation == rotation)

    async def end(self, connection: AsyncConnection, session_id: str, *, why: str, now: float) -> bool:
        """End a session in the caller's transaction; false if it had ended."""
        ended = await connection.execute(
            delete(oauth_sessions)
            .where(oauth_sessions.c.session_id == session_id)
            .returning(oauth_sessions.c.account_id, oauth_sessions.c.client_id)
        )
        row = ended.first()
        if row is None:
            return False
        await record_ending(connection, "token", session_id, now)
        await end_session_keys(connection, session_id, now)
        subject = f"account:{row.account_id}"
        details = {"client": row.client_id, "why": why}
        await self._audit.append(
            connection, event="session.ended", actor=subject, subject=subject, details=details, now=now
        )
        return True

    def _account_claims(self, access_token: str, now: float) -> AccessClaims:
        claims = self._tokens.verify(access_token, now=now)
        if claims.audience != self._tokens.issuer or claims.session_id is None or claims.jkt is None:
            raise AuthenticationFailed(_FAILED)
        return claims

    async def _living_row(self, connection: AsyncConnection, claims: AccessClaims, now: float) -> Any:
        row = (await connection.execute(_LIVING, {"sought": claims.session_id, "now": int(now)})).first()
        if row is None or not _same_key(row.jkt, claims.jkt):
            raise AuthenticationFailed(_FAILED)
        return row

    def _refresh_token(self, session: Session) -> str:
        body = base64url.decode(session.session_id) + session.rotation.to_bytes(_ROTATION_BYTES, "big")
        return base64url.encode(body + self._mac(body))

    def _read(self, refresh_token: str) -> tuple[str, int]:
        try:
            raw = base64url.decode(refresh_token, length=_TOKEN_BYTES)
        except Malformed:
            raise InvalidGrant(_NO_GRANT) from None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise InvalidGrant(_NO_GRANT)
        return base64url.encode(body[:_ID_BYTES]), int.from_bytes(body[_ID_BYTES:], "big")

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._refresh_key, body, "sha256")


def new_session_id() -> str:
    """16 random bytes in base64url."""
    return base64url.encode(secrets.token_bytes(_ID_BYTES))


def _session_of(row: Row[tuple[object, ...]], rotation: int) -> Session:
    return Session(
        session_id=row.session_id,
        account_id=row.account_id,
        client_id=row.client_id,
        jkt=row.jkt,
        scope=frozenset(row.scope.split()),
        audience=row.audience,
        rotation=rotation,
        expires_at=row.expires_at,
    )


def _same_key(bound: str | None, shown: str | None) -> bool:
    return hmac.compare_digest(bound or "", shown or "")
