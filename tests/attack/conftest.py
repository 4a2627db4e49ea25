"""One world for all attacks; it lives in the event loop of the session, and so do the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from pytest_asyncio import is_async_test

from tests.access_world import Site as AccessSite
from tests.access_world import access_site
from tests.attack.channel_site import ACTUATOR, ChannelSite
from tests.attack.factor_site import FactorSite, factor_site
from tests.attack.integrity_site import IntegritySite
from tests.attack.nodes import Nodes, nodes_of
from tests.attack.relay_site import RelaySite
from tests.attack.site import LAMP, LOCK, Site, site_on
from tests.attack.world import World

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """While a loop of a test's own ran, the session's would stand still, and with it relays in the middle: devices
    would take their connections for broken."""
    session = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if HERE in item.path.parents and is_async_test(item):
            item.add_marker(session, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opened_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with World.open(tmp_path_factory.mktemp("world")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def world(opened_world: World) -> AsyncIterator[World]:
    """Server and premises; after a test the devices that it started are switched off."""
    yield opened_world
    await opened_world.power_cut()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(opened_world: World) -> Path:
    """The profile of an owner's account."""
    return await opened_world.account("owner")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stranger(opened_world: World) -> Path:
    """The profile of another account on the same server."""
    return await opened_world.account("stranger")


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["sqlite", "postgresql"])
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server whose devices are in the attacker's hands; the attack is carried out on both databases."""
    async with site_on(request, tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["sqlite", "postgresql"])
async def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FactorSite]:
    """A site like `site`, whose models ask for second factors and TPMs."""
    async with factor_site(request, tmp_path_factory.mktemp("at")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nodes(at: FactorSite, tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    """That site's server processes: two on PostgreSQL."""
    return await nodes_of(at.site, tmp_path_factory.mktemp("second"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def grounds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A site with premises of its own, for attacks that take its server down; the test starts it again."""
    async with Site.open(tmp_path_factory.mktemp("grounds"), lamps=2, locks=1) as opened:
        await opened.stage.open_premises()
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def lamp_world(grounds: Site) -> AsyncIterator[World]:
    """The lamps of these grounds as real programs."""
    async with _world_of(grounds, LAMP) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def lock_world(grounds: Site) -> AsyncIterator[World]:
    """The locks of these grounds as real programs."""
    async with _world_of(grounds, LOCK) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opened_channels(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ChannelSite]:
    async with ChannelSite.open(tmp_path_factory.mktemp("relayed")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def relayed(opened_channels: ChannelSite) -> ChannelSite:
    """Two devices and their owner's app, and between them a relay that is an attacker's."""
    await opened_channels.connected()
    return opened_channels


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def integrity(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[IntegritySite]:
    """A server that trusts an integrity service, and an app that must be attested."""
    async with IntegritySite.open(tmp_path_factory.mktemp("integrity")) as opened:
        yield opened


@asynccontextmanager
async def _world_of(grounds: Site, model: str) -> AsyncIterator[World]:
    world = World(grounds.stage, grounds.folders(model))
    yield world
    await world.power_cut()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def two_nodes(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RelaySite]:
    """A server of two relay nodes, with premises."""
    async with RelaySite.open(tmp_path_factory.mktemp("two"), postgres_url, lamps=6) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def granting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AccessSite]:
    """A device that notes what it carries out, and a server that grants access to it."""
    async with access_site(tmp_path_factory.mktemp("granting"), str(ACTUATOR)) as opened:
        yield opened
