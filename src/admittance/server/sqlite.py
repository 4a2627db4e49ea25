"""SQLite for SQLAlchemy's asyncio engine without a thread hop for each statement.

A statement on a local SQLite file takes some microseconds, a hop to a thread and back ten times that. So statements
run where they are; only what may wait runs in a thread: the write lock while another process has it, and the commit,
which waits for the disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import await_only, in_greenlet

from admittance.errors import Misuse

BUSY_TIMEOUT_MS = 10_000
DRIVER = "sqlite+inline"
BEGIN_WRITE = "BEGIN IMMEDIATE"


class InlineCursor(sqlite3.Cursor):
    """SQLAlchemy wants every statement of an asyncio engine to await something: this awaits nothing."""

    connection: "InlineConnection"

    def execute(self, *arguments: Any) -> "InlineCursor":
        if arguments[0] == BEGIN_WRITE:
            self.connection.begin_write()
            return self
        _yield_once()
        super().execute(*arguments)
        return self

    def executemany(self, *arguments: Any) -> "InlineCursor":
        _yield_once()
        super().executemany(*arguments)
        return self

    async def _async_soft_close(self) -> None:
        """SQLAlchemy's asyncio extension calls this once a result is buffered, which needs nothing here."""


class InlineConnection(sqlite3.Connection):
    """A connection whose waiting is done in a thread. Used inside SQLAlchemy's greenlets alone."""

    def cursor(self, factory: Any = InlineCursor) -> Any:
        return super().cursor(factory)

    def begin_write(self) -> None:
        """Take the write lock; while another process has it, wait for up to `BUSY_TIMEOUT_MS` in a thread."""
        _yield_once()
        self.execute("PRAGMA busy_timeout=0")
        try:
            self.execute(BEGIN_WRITE)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            self.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            await_only(_in_thread(lambda: self.execute(BEGIN_WRITE)))
        else:
            self.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    def commit(self) -> None:
        """Commit in a thread if anything was written."""
        if self.in_transaction:
            await_only(_in_thread(super().commit))


class InlineSqlite(SQLiteDialect_pysqlite):
    """The dialect behind `DRIVER`; connections have to be made with `InlineConnection` as factory."""

    driver = "inline"
    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        return pool.AsyncAdaptedQueuePool


class InlineAsyncConnection(AsyncConnection):
    """Runs statements without the greenlet in which other drivers await, which takes as long as the statement."""

    async def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        if self.sync_connection is None:
            raise Misuse("The connection is not open.")
        return self.sync_connection.execute(statement, parameters, execution_options=execution_options)

    async def __aexit__(self, *_exception: object) -> None:
        """Closing awaits nothing, so that nothing can cut it short: it needs no task of its own."""
        await self.close()


class InlineEngine(AsyncEngine):
    """Gives `InlineAsyncConnection`s."""

    def connect(self) -> InlineAsyncConnection:
        return InlineAsyncConnection(self)


def engine(url: URL) -> InlineEngine:
    """The engine for an SQLite URL of any driver."""
    made = create_async_engine(url.set(drivername=DRIVER), connect_args=CONNECT_ARGUMENTS, hide_parameters=True)
    return InlineEngine(made.sync_engine)


async def _nothing() -> None:
    """Is done at once."""


def _yield_once() -> None:
    if in_greenlet():
        await_only(_nothing())


async def _in_thread(work: Callable[[], object]) -> None:
    """Do `work` in a thread to its end, even if the caller is cancelled: no two use the connection at once."""
    done = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise


CONNECT_ARGUMENTS: dict[str, Any] = {
    "check_same_thread": False,
    "factory": InlineConnection,
    "cached_statements": 256,
    "isolation_level": None,
}

registry.register("sqlite.inline", __name__, InlineSqlite.__name__)
