"""Whether a password is an account's, for logins that give no token: throttled like every login."""

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed
from admittance.server.accounts import store
from admittance.server.accounts.model import normalise_email
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.throttle import LoginThrottle
from admittance.server.clock import Clock
from admittance.server.database import Database


class PasswordCheck:
    """Does the same work for every address, with an account or without one."""

    def __init__(self, *, database: Database, clock: Clock, hashes: PasswordHashes, throttle: LoginThrottle) -> None:
        self._database = database
        self._clock = clock
        self._hashes = hashes
        self._throttle = throttle

    async def account_id(self, *, email: str, password: str, source: str) -> str | None:
        """The account of address and password, or None.

        Raises `Malformed` for what is no address, `Throttled`, or `Unavailable` when the store does not answer or too
        much is going on.
        """
        address = normalise_email(email)
        await self._throttle.charge(email=address, source=source, now=self._clock())
        async with self._database.read() as connection:
            account = await store.find_by_email(connection, address)
        try:
            await self._hashes.verify(None if account is None else account.password_hash, password)
        except AuthenticationFailed:
            return None
        return None if account is None else str(account.account_id)

    async def forgive(self, connection: AsyncConnection, *, email: str, source: str) -> None:
        """After a login that succeeded in whole, in its transaction: the tries are forgotten."""
        await self._throttle.forgive(connection, email=normalise_email(email), source=source, now=self._clock())
