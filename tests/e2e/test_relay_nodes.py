"""Several relay nodes as processes, over a real NATS and PostgreSQL: streams across them, and what fails how."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.errors import AdmittanceError
from admittance.wire.relay import APP_PATH, CloseCode
from tests.attack.site import Enrolment, Login, Site, database_of_its_own
from tests.device_world import FakeDevice
from tests.nats import NatsServer, nats_server
from tests.relay_ends import AppStream, EchoDevice, open_socket
from tests.relay_nodes import RelayNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 20.0
LONG = bytes(range(256)) * 250


@dataclass
class Nodes:
    """A server and two relay nodes beside it, and the devices of one account."""

    site: Site
    nats: NatsServer
    owner: Login
    relays: list[RelayNode] = field(default_factory=list)
    streams: list[AppStream] = field(default_factory=list)

    @property
    def device_trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.site.keystore.tls_anchor.certificate_pem.decode())

    @property
    def app_trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.site.keystore.people_ca.certificate_pem.decode())

    async def running(self, index: int) -> RelayNode:
        """That relay node, started again if it was killed."""
        node = self.relays[index]
        await node.run(self.site)
        return node

    @asynccontextmanager
    async def device(self, *ports: int) -> AsyncIterator[EchoDevice]:
        """A device of the owner that is connected to the first of these ports, and goes to the others after it."""
        fake = self.site.take()
        enrolment: Enrolment = await self.site.onboard(self.owner, fake)
        device = _echo(fake, enrolment, self.device_trust, [ports[0]])
        device.start()
        await until(lambda: device.port == ports[0])
        device.ports = list(ports)
        try:
            yield device
        finally:
            await device.stop()
            while self.streams:
                self.streams.pop().socket.abort()

    async def app(self, port: int, device_id: str) -> AppStream:
        """An open stream, which carried a message and its answer."""
        path = f"{APP_PATH}{device_id}"
        headers = tuple(self.owner.headers("GET", path).items())
        socket, _ = await open_socket(port, self.app_trust, path, headers)
        stream = AppStream(socket)
        self.streams.append(stream)
        await stream.exchange(b"hello")
        return stream

    async def app_within(self, port: int, device_id: str) -> AppStream:
        """As `app`, tried again until it works."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    return await self.app(port, device_id)
                except AdmittanceError:
                    await asyncio.sleep(0.1)


def _echo(fake: FakeDevice, enrolment: Enrolment, trust: ssl.SSLContext, ports: list[int]) -> EchoDevice:
    return EchoDevice(fake.device_id, fake.epoch, enrolment.key, enrolment.chain, trust, ports)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(stream: AppStream) -> int:
    async with asyncio.timeout(WITHIN_S):
        return await stream.closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    folder: Path = tmp_path_factory.mktemp("nodes")
    with nats_server() as nats:
        async with (
            database_of_its_own(postgres_url) as url,
            Site.open(folder, database_url=url, policy=f'[bus]\nurl = "{nats.url}"', lamps=10, locks=0) as site,
        ):
            made = Nodes(site, nats, await site.account("ann"))
            for name in ("relay-one", "relay-two"):
                (folder / name).mkdir()
                made.relays.append(await RelayNode.beside(site, folder / name, nats.port))
            yield made
            for relay in made.relays:
                await relay.unplug()


async def test_an_app_and_a_device_on_different_nodes_exchange(nodes: Nodes) -> None:
    one, server = await nodes.running(0), nodes.site.stage.ports
    async with nodes.device(one.ports.device_relay) as device:
        for port in (server.app_relay, one.ports.app_relay):
            stream = await nodes.app(port, device.device_id)
            await stream.exchange(LONG)
            await stream.socket.close()
    async with nodes.device(server.device_relay) as device:
        stream = await nodes.app(one.ports.app_relay, device.device_id)
        await stream.exchange(LONG)
        await stream.socket.close()


async def test_the_newest_connection_of_a_device_wins(nodes: Nodes) -> None:
    one, two = await nodes.running(0), await nodes.running(1)
    async with nodes.device(one.ports.device_relay) as device:
        stream = await nodes.app(two.ports.app_relay, device.device_id)
        newer = EchoDevice(
            device.device_id, device.epoch, device.key, device.chain, device.trust, [two.ports.device_relay]
        )
        device.ports = []
        newer.start()
        try:
            await until(lambda: device.closings == [CloseCode.SUPERSEDED])
            await ended(stream)
            await nodes.app_within(one.ports.app_relay, device.device_id)
        finally:
            await newer.stop()


async def test_revocation_reaches_a_node_whose_bus_is_cut_off(nodes: Nodes) -> None:
    one, two = await nodes.running(0), await nodes.running(1)
    async with nodes.device(one.ports.device_relay) as device, nodes.device(two.ports.device_relay) as other:
        streams = [
            await nodes.app(one.ports.app_relay, device.device_id),
            await nodes.app(two.ports.app_relay, other.device_id),
        ]
        await one.bus.cut()
        for each in (device, other):
            await nodes.owner.ask("POST", f"/api/devices/{each.device_id}/revoke", {"reason": "lost"})
        assert [await ended(stream) for stream in streams] == [CloseCode.REVOKED] * 2
        await until(lambda: CloseCode.REVOKED in device.closings and CloseCode.REVOKED in other.closings)
        assert device.port is None
        await one.bus.plug()


async def test_a_login_that_ends_ends_its_streams_on_every_node(nodes: Nodes) -> None:
    one, two = await nodes.running(0), await nodes.running(1)
    async with nodes.device(one.ports.device_relay) as device:
        kept = await nodes.app_within(two.ports.app_relay, device.device_id)
        login = await nodes.site.log_in(nodes.owner.email, nodes.owner.password)
        other = Nodes(nodes.site, nodes.nats, login, streams=nodes.streams)
        lost = [await other.app_within(port, device.device_id) for port in (one.ports.app_relay, two.ports.app_relay)]
        await login.log_out()
        assert [await ended(stream) for stream in lost] == [CloseCode.REVOKED] * 2
        await kept.exchange(b"still")
        await kept.socket.close()


async def test_streams_across_nodes_come_back_when_nats_was_killed_and_started_again(nodes: Nodes) -> None:
    one, two = await nodes.running(0), await nodes.running(1)
    async with nodes.device(one.ports.device_relay) as device:
        across = await nodes.app_within(two.ports.app_relay, device.device_id)
        here = await nodes.app(one.ports.app_relay, device.device_id)
        nodes.nats.kill()
        assert await ended(across) == CloseCode.UNAVAILABLE
        await here.exchange(b"not disturbed")
        nodes.nats.start()
        again = await nodes.app_within(two.ports.app_relay, device.device_id)
        await again.exchange(LONG)
        await here.exchange(b"not disturbed")


async def test_when_the_devices_node_is_killed_streams_fail_at_once_and_both_are_back_elsewhere(nodes: Nodes) -> None:
    one, two = await nodes.running(0), await nodes.running(1)
    async with nodes.device(one.ports.device_relay, two.ports.device_relay) as device:
        across = await nodes.app(two.ports.app_relay, device.device_id)
        here = await nodes.app(one.ports.app_relay, device.device_id)
        assert one.program is not None
        await one.program.kill()
        assert await ended(here) == 1006
        assert await ended(across) == CloseCode.UNAVAILABLE
        again = await nodes.app_within(two.ports.app_relay, device.device_id)
        await again.exchange(LONG)
        assert device.port == two.ports.device_relay


async def test_a_node_that_is_stopped_sends_everybody_elsewhere(nodes: Nodes) -> None:
    two, server = await nodes.running(1), nodes.site.stage.ports
    async with nodes.device(two.ports.device_relay, server.device_relay) as device:
        stream = await nodes.app_within(server.app_relay, device.device_id)
        assert two.program is not None
        await two.program.end()
        assert await ended(stream) == CloseCode.UNAVAILABLE
        assert CloseCode.UNAVAILABLE in device.closings
        await nodes.app_within(server.app_relay, device.device_id)
