"""Login throttle: one bucket for each account and each source address, in the shared database.

A bucket admits `FREE_TRIES` tries at once; then each try must wait 1, 2, 4 … seconds after the one before, up to the
bucket's bound. A try is charged before the password is looked at, so parallel guesses gain nothing, and an address
without account has a bucket like any other. It fails closed: when the store does not answer, nobody logs in.
"""

import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from admittance.errors import Throttled, Unavailable
from admittance.server.accounts.store import login_throttles
from admittance.server.database import Database

FREE_TRIES = 5
FORGET_S = 3600
ACCOUNT_MAX_DELAY_S = 30
SOURCE_MAX_DELAY_S = 300
_SOURCE_FREE_TRIES = 20
_INSERT_RACES = 3
_CLOSED = "Logins are not possible at the moment. Try again later."


@dataclass(frozen=True)
class _Bucket:
    key: bytes
    free_tries: int
    max_delay_s: int

    def delay_s(self, failures: int) -> int:
        beyond = failures - self.free_tries
        return 0 if beyond < 0 else min(2 ** min(beyond, 16), self.max_delay_s)


class LoginThrottle:
    """Charges tries against buckets. `key` hides addresses in the table."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    async def charge(self, *, email: str, source: str, now: float) -> None:
        """Take one try for an account (by its address, which need not exist) from a source address.

        Raises:
            Throttled: a bucket is still waiting; nothing was charged.
            Unavailable: the store did not answer.
        """
        for _attempt in range(_INSERT_RACES):
            try:
                async with self._database.transaction() as connection:
                    for bucket in self._buckets(email, source):
                        await _charge(connection, bucket, int(now))
                return
            except IntegrityError:
                continue
            except SQLAlchemyError as error:
                raise Unavailable(_CLOSED) from error
        raise Throttled(1)

    async def check(self, *, email: str, source: str, now: float) -> None:
        """Refuse like `charge`, without charging."""
        try:
            async with self._database.read() as connection:
                for bucket in self._buckets(email, source):
                    row = (await connection.execute(_row_of(bucket))).first()
                    if row is not None and row.not_before_at > int(now):
                        raise Throttled(row.not_before_at - int(now))
        except SQLAlchemyError as error:
            raise Unavailable(_CLOSED) from error

    async def forgive(self, connection: AsyncConnection, *, email: str, source: str, now: float) -> None:
        """After a success, in its transaction: empty the account's bucket, give the source its one try back."""
        account, address = self._buckets(email, source)
        await connection.execute(
            delete(login_throttles).where(
                (login_throttles.c.bucket == account.key) | (login_throttles.c.forget_at <= int(now))
            )
        )
        await connection.execute(
            update(login_throttles)
            .where(login_throttles.c.bucket == address.key, login_throttles.c.failures > 0)
            .values(failures=login_throttles.c.failures - 1)
        )

    def _buckets(self, email: str, source: str) -> tuple[_Bucket, _Bucket]:
        return (
            _Bucket(self._bucket_key("account", email), FREE_TRIES, ACCOUNT_MAX_DELAY_S),
            _Bucket(self._bucket_key("source", source), _SOURCE_FREE_TRIES, SOURCE_MAX_DELAY_S),
        )

    def _bucket_key(self, kind: str, name: str) -> bytes:
        return hmac.digest(self._key, f"admittance/throttle/1|{kind}|{name}".encode(), "sha256")


def source_of(request: Request) -> str:
    """The network that a request comes from: an IPv4 address, or the /64 of an IPv6 address."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((address, 64), strict=False))
    return host


def _row_of(bucket: _Bucket) -> Select[tuple[object, ...]]:
    return select(login_throttles).where(login_throttles.c.bucket == bucket.key)


async def _charge(connection: AsyncConnection, bucket: _Bucket, now: int) -> None:
    table = login_throttles
    row = (await connection.execute(_row_of(bucket).with_for_update())).first()
    if row is None:
        await connection.execute(
            insert(table).values(bucket=bucket.key, failures=1, not_before_at=now, forget_at=now + FORGET_S)
        )
        return
    if row.not_before_at > now:
        raise Throttled(row.not_before_at - now)
    failures = 1 if row.forget_at <= now else row.failures + 1
    await connection.execute(
        update(table)
        .where(table.c.bucket == bucket.key)
        .values(failures=failures, not_before_at=now + bucket.delay_s(failures), forget_at=now + FORGET_S)
    )
