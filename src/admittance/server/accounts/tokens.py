"""Access tokens: opaque, bound to the client's key (RFC 9449, section 6)."""

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, Malformed
from admittance.server.accounts import store
from admittance.server.accounts.dpop import VerifiedProof
from admittance.server.accounts.model import AuthenticatedAccount, IssuedToken, LivingToken, normalise_email
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.replays import ReplayCache
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.accounts.throttle import LoginThrottle
from admittance.server.accounts.trust import trust_first
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.revocations.store import record_ending

TOKEN_TTL_S = 12 * 3600


class Tokens:
    """Issues tokens for passwords, finds their accounts, and ends them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        hashes: PasswordHashes,
        throttle: LoginThrottle,
        replays: ReplayCache,
        mac_key: bytes,
        ttl_s: int = TOKEN_TTL_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._hashes = hashes
        self._throttle = throttle
        self._replays = replays
        self._ttl_s = ttl_s
        self._hasher = SecretHasher(mac_key, "token")

    async def login(self, *, email: str, password: str, proof: VerifiedProof, source: str) -> IssuedToken:
        """Check a password and issue a token bound to the key of `proof`.

        An address without account takes the same path and the same work as one with a wrong password.

        Raises:
            AuthenticationFailed: wrong address or password, or the proof was used before.
            Throttled: too many tries for this address or from this source.
            Unavailable: the store does not answer, or too much is going on.
        """
        address = normalise_email(email)
        await self._throttle.charge(email=address, source=source, now=self._clock())
        async with self._database.read() as connection:
            account = await store.find_by_email(connection, address)
        subject = "account:unknown" if account is None else f"account:{account.account_id}"
        try:
            await self._hashes.verify(None if account is None else account.password_hash, password)
        except AuthenticationFailed:
            await self._record(subject, "login.refused")
            raise
        if account is None:
            raise AuthenticationFailed("The address or the password is wrong.")
        token = new_secret()
        now = self._clock()
        async with self._database.transaction() as connection:
            await self._replays.spend(connection, proof, now)
            await self._throttle.forgive(connection, email=address, source=source, now=now)
            await store.delete_expired_tokens(connection, now=int(now))
            await store.insert_token(
                connection,
                token_mac=self._hasher.mac(token),
                account_id=account.account_id,
                jkt=proof.jkt,
                issued_at=int(now),
                expires_at=int(now) + self._ttl_s,
            )
            await trust_first(connection, account.account_id, proof.jkt, int(now))
            await self._audit.append(
                connection,
                event="token.issued",
                actor=subject,
                subject=subject,
                details={"jkt": proof.jkt},
                now=now,
            )
        return IssuedToken(access_token=token, account_id=account.account_id, expires_in_s=self._ttl_s)

    async def find(self, connection: AsyncConnection, access_token: str, *, now: float) -> AuthenticatedAccount:
        """The account of a living token, with the thumbprint it is bound to.

        Raises:
            AuthenticationFailed: unknown, ended or expired.
        """
        try:
            mac = self._hasher.mac(access_token)
        except Malformed:
            raise AuthenticationFailed("The request is not authenticated.") from None
        row = await store.find_token(connection, mac, now=int(now))
        if row is None:
            raise AuthenticationFailed("The request is not authenticated.")
        return AuthenticatedAccount(account_id=row.account_id, email=row.email, operator=row.operator, jkt=row.jkt)

    async def living(self, connection: AsyncConnection, access_token: str, *, now: float) -> LivingToken:
        """A token that has not ended, for who must hear when it does. Raises `AuthenticationFailed`."""
        try:
            mac = self._hasher.mac(access_token)
        except Malformed:
            raise AuthenticationFailed("The request is not authenticated.") from None
        row = await store.living_token(connection, mac, now=int(now))
        if row is None:
            raise AuthenticationFailed("The request is not authenticated.")
        return LivingToken(account_id=row.account_id, jkt=row.jkt, mac=mac, expires_at=row.expires_at)

    async def end(self, access_token: str, *, account_id: str) -> None:
        """End a token; ending it again changes nothing."""
        mac = self._hasher.mac(access_token)
        subject = f"account:{account_id}"
        now = self._clock()
        async with self._database.transaction() as connection:
            await store.delete_token(connection, mac)
            await record_ending(connection, "token", mac.hex(), now)
            await self._audit.append(connection, event="token.ended", actor=subject, subject=subject, now=now)

    async def _record(self, subject: str, event: str) -> None:
        async with self._database.transaction() as connection:
            await self._audit.append(connection, event=event, actor="anonymous", subject=subject, now=self._clock())
