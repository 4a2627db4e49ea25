"""How much anybody may leave in the database without having logged in: requests, flows, device codes."""

from sqlalchemy import Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Unavailable

MAX_ROWS = 100_000
_RECOUNT_S = 1.0


class Bound:
    """Bounds a table with a column `expires_at`. What has expired is dropped; what has not is never displaced."""

    def __init__(self, table: Table, max_rows: int = MAX_ROWS) -> None:
        self._table = table
        self._max_rows = max_rows
        self._count = 0
        self._counted_at = float("-inf")

    async def take(self, connection: AsyncConnection, now: float) -> None:
        """Make sure that one more row may come, in the transaction that makes it. Raises `Unavailable`."""
        if abs(now - self._counted_at) >= _RECOUNT_S:
            await connection.execute(delete(self._table).where(self._table.c.expires_at <= int(now)))
            counted = await connection.execute(select(func.count()).select_from(self._table))
            self._count = counted.scalar_one()
            self._counted_at = now
        if self._count >= self._max_rows:
            raise Unavailable("Too many requests are open. Try again in a minute.")
        self._count += 1
