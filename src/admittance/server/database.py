"""The database: one engine, transactions that lock early, and the schema's migrations.

Tables are SQLAlchemy Core tables in each package's ``store.py``, all on `metadata`. Times are whole
Unix seconds, ids are text, keys and digests are bytes.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, MetaData, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from admittance.errors import AdmittanceError, ConfigurationError, Unavailable
from admittance.server import sqlite

DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# PostgreSQL, appendix A: authorization and database name; connections, resources, operator intervention.
_STATES_TO_MEND = ("28", "3D")
_STATES_THAT_PASS = ("08", "53", "57P")

_SIGNALS = "admittance_signals"
_READ_ONLY = "admittance_read_only"
_SQLITE_READ: dict[str, Any] = {_READ_ONLY: True}
_POSTGRESQL_READ: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """SQLite (one node) or PostgreSQL (many nodes) behind the same two kinds of transaction.

    `url` is an SQLAlchemy URL whose driver is one of `DRIVERS`, `password` what it leaves out.
    `path` is SQLite's file, None elsewhere. Raises `ConfigurationError` for other drivers.
    """

    def __init__(self, url: str, password: str | None = None) -> None:
        try:
            parsed = make_url(url)
            if password is not None:
                parsed = parsed.set(password=password)
        except ArgumentError:
            raise ConfigurationError(f"[database] url is not a database URL; use one of {DRIVERS}") from None
        if parsed.drivername not in DRIVERS:
            raise ConfigurationError(
                f"[database] url names the driver {parsed.drivername!r}; use one of {', '.join(DRIVERS)}"
            )
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.path = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self.engine = _engine(parsed)
        self._read_options = _SQLITE_READ if self.is_sqlite else _POSTGRESQL_READ
        self._writer = asyncio.Lock() if self.is_sqlite else None
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Commit when the block ends, roll back when it raises.

        On SQLite the write lock is taken at once (``BEGIN IMMEDIATE``), so what was read stays true.
        On PostgreSQL lock the rows that a decision rests on (``SELECT ... FOR UPDATE``).
        Raises `Unavailable` when the database can't be reached.
        """
        async with self._writer or nullcontext(), _connection_errors(), self.engine.begin() as connection:
            connection.info.pop(_SIGNALS, None)
            yield connection
            signals: set[str] = connection.info.pop(_SIGNALS, set())
        for name in signals:
            for listener in self._listeners.get(name, ()):
                listener()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view for reading only. Raises `Unavailable` when the database can't be reached."""
        async with _connection_errors(), self.engine.connect() as connection:
            await connection.execution_options(**self._read_options)
            yield connection

    def listen(self, name: str, listener: Callable[[], None]) -> None:
        """Call `listener` after each transaction of this process that gave that signal and has committed."""
        self._listeners.setdefault(name, []).append(listener)

    async def migrate(self, upgrade: Callable[[Connection], None] | None = None) -> None:
        """Bring the schema to the newest version; does nothing when it is there already.

        `upgrade` applies the migrations of a program with tables of its own; else they are the server's.
        """
        from admittance.server.migrations import run

        async with self.transaction() as connection:
            if not self.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('admittance/migrate'))"))
            await connection.run_sync(upgrade or run.upgrade)

    async def close(self) -> None:
        await self.engine.dispose()


def signal(connection: AsyncConnection, name: str) -> None:
    """Tell those that `Database.listen` to `name` once this transaction has committed; not if it is rolled back."""
    connection.info.setdefault(_SIGNALS, set()).add(name)


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        return sqlite.engine(url)
    return create_async_engine(url, pool_pre_ping=True, hide_parameters=True)


@asynccontextmanager
async def _connection_errors() -> AsyncIterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The database does not answer: {error.strerror or type(error).__name__}.") from error
    except DBAPIError as error:
        translated = _translated(error)
        if translated is None:
            raise
        raise translated from error


def _translated(error: DBAPIError) -> AdmittanceError | None:
    """A driver's error that an operator can mend or that passes by itself; None for all others."""
    if error.connection_invalidated:
        return Unavailable("The connection to the database was lost.")
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state.startswith(_STATES_TO_MEND):
        return ConfigurationError(f"The database does not let us in (SQLSTATE {state}): check [database] url.")
    if state.startswith(_STATES_THAT_PASS):
        return Unavailable(f"The database is not available now (SQLSTATE {state}).")
    if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return Unavailable("Another program holds the database.")
    return None


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "foreign_keys=ON",
        f"busy_timeout={sqlite.BUSY_TIMEOUT_MS}",
        "synchronous=FULL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else sqlite.BEGIN_WRITE)
