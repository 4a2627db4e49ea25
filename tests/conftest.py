"""Fixtures for the whole suite."""

import asyncio
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from admittance.demo.postgres import postgres
from admittance.server.database import Database
from tests.nats import NatsServer, nats_server
from tests.turns import run_id_of, turn, with_their_turn_first


def pytest_configure() -> None:
    """Let tests interrupt the programs that they start, also where a shell started pytest in the background: then
    SIGINT is ignored, and so it would be in them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its parameter where that is bytes, which may be drawn at import and differ between processes."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = with_their_turn_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Give each test its turn, its fixtures included."""
    run_id = run_id_of(item.config)
    if run_id is None:
        return (yield)
    with turn(run_id, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL; its database ``postgres`` stays empty."""
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A running NATS that every test may use, each under a prefix of its own."""
    with nats_server() as server:
        yield server.url


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A running NATS of the test's own, to be killed and started again."""
    with nats_server() as server:
        yield server


@pytest.fixture
async def empty_postgres(postgres_url: str) -> AsyncIterator[str]:
    """The URL of a PostgreSQL database without a schema, the test's own."""
    name = f"empty_{secrets.token_hex(6)}"
    await _administer(postgres_url, f"CREATE DATABASE {name}")
    yield _with_name(postgres_url, name)
    await _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> str:
    """The name of a migrated database that others are copied from."""

    async def make() -> None:
        await _administer(postgres_url, "CREATE DATABASE migrated")
        database = Database(_with_name(postgres_url, "migrated"))
        await database.migrate()
        await database.close()

    _run(make())
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that others are copied from."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"

    async def make() -> None:
        database = Database(f"sqlite+aiosqlite:///{path}")
        await database.migrate()
        await database.close()

    _run(make())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated, empty database of the test's own: the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        file = tmp_path / "admittance.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), file)
        opened = Database(f"sqlite+aiosqlite:///{file}")
        yield opened
        await opened.close()
        return
    server: str = request.getfixturevalue("postgres_url")
    template: str = request.getfixturevalue("migrated_postgres")
    name = f"test_{secrets.token_hex(6)}"
    await _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    opened = Database(_with_name(server, name))
    yield opened
    await opened.close()
    await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated, empty SQLite database, for tests to which the kind of database does not matter."""
    file = tmp_path / "admittance.db"
    shutil.copy(migrated_sqlite, file)
    opened = Database(f"sqlite+aiosqlite:///{file}")
    yield opened
    await opened.close()


def _run(made: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own, since the test that needs the fixture already has a running loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, made).result()


def _with_name(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


async def _administer(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
