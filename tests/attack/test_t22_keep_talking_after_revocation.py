"""T22. Means: all that a device and an app have at one moment: open streams on both nodes of a server, certificate
and key, token, tickets. Goal: go on, or begin anew, on any node after the access ended; also at a node that hears
nothing of the others, or can't read what has ended.

A node promises a second. What is waited for here is longer, as a busy machine takes its time, and shorter than
anything else that would end a stream.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.protocol.signing import spki_of
from admittance.wire.relay import CloseCode
from tests.attack.relay_site import NodePorts, Relayed, RelaySite, Talking, ended, refused, ticket_of, until
from tests.attack.site import CBOR, Login
from tests.relay_ends import AppStream

GONE = {"reason": "gone"}
ENDINGS: dict[str, object] = {"revoke": GONE, "decommission": GONE, "stolen": None, "release": None, "reset": None}
SHUT = {CloseCode.OFFLINE, CloseCode.UNAVAILABLE}


@pytest_asyncio.fixture(loop_scope="session")
async def talking(two_nodes: RelaySite) -> AsyncIterator[Talking]:
    talking = Talking(two_nodes.site)
    yield talking
    await talking.end()


@dataclass
class Victim:
    """A device, its streams, and tickets for it that were not used yet."""

    ending: str
    relayed: Relayed
    streams: list[AppStream]
    tickets: list[bytes]

    @property
    def device_id(self) -> str:
        return self.relayed.device_id


async def victim(talking: Talking, owner: Login, ending: str, node: NodePorts, *apps: NodePorts) -> Victim:
    """A device at `node` that talks with apps at the nodes `apps`."""
    channel = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    device = await talking.device(owner, node.device, channel=channel)
    streams = [await talking.app_within(owner, device.device_id, each.app) for each in apps]
    return Victim(ending, device, streams, [await ticket_of(owner, device.device_id) for _ in apps])


async def end(two_nodes: RelaySite, owner: Login, victim: Victim) -> None:
    """End the device's access; returns with the server's answer."""
    site, fake = two_nodes.site, victim.relayed.fake
    if victim.ending != "reset":
        await owner.ask("POST", f"/api/devices/{fake.device_id}/{victim.ending}", ENDINGS[victim.ending])
        return
    fake.resets += 1
    report = fake.reset_report(await site.nonce(fake.device_id))
    answer = await site.device_side.post("/enrolment/resets", content=report, headers=CBOR)
    assert answer.status_code == 204, answer.text


@asynccontextmanager
async def bus_that_is(two_nodes: RelaySite, state: str) -> AsyncIterator[None]:
    """Cut the second node off from NATS, or end NATS itself."""
    if state == "cut off":
        await two_nodes.second.bus.cut()
    elif state == "down":
        two_nodes.nats.kill()
    yield
    if state == "cut off":
        await two_nodes.second.bus.plug()
    elif state == "down":
        two_nodes.nats.start()


@pytest.mark.parametrize("bus", ["up", "cut off", "down"])
async def test_what_ends_a_devices_access_ends_its_streams_on_every_node(
    two_nodes: RelaySite, talking: Talking, bus: str
) -> None:
    """The devices are at both nodes, or at the one that is cut off. Streams between nodes end with the bus."""
    owner, nodes = await two_nodes.site.somebody("owner"), two_nodes.nodes
    at = (nodes[1],) if bus == "cut off" else nodes
    kept = [await victim(talking, owner, "", node, node) for node in at]
    victims = [
        await victim(talking, owner, ending, node, *(nodes if bus == "up" else (node,)))
        for ending, node in zip(ENDINGS, cycle(at), strict=False)
    ]
    async with bus_that_is(two_nodes, bus):
        for each in victims:
            await end(two_nodes, owner, each)
            assert await ended(*each.streams) == {CloseCode.REVOKED}
        for each in victims:
            await until(lambda echo=each.relayed.echo: CloseCode.REVOKED in echo.closings)
            await assert_nothing_opens(talking, owner, each, nodes)
        for each in kept:
            await each.streams[0].exchange(b"still here")
    await talking.app_within(owner, kept[-1].device_id, nodes[0].app)


async def assert_nothing_opens(talking: Talking, owner: Login, victim: Victim, nodes: tuple[NodePorts, ...]) -> None:
    """No app gets to the device, by token or ticket, at any node, though the device comes again.

    A device whose owner's epoch has ended is let in just to be told so, and takes its time to hear it.
    """
    if victim.ending != "reset":
        await until(lambda: victim.relayed.echo.port is not None)
    for node in nodes:
        assert await refused(talking.app(owner, victim.device_id, node.app)) in SHUT
    for ticket, node in zip(victim.tickets, nodes, strict=False):
        assert await refused(talking.app_with(ticket, victim.device_id, node.app)) in SHUT


@pytest.mark.parametrize("bus", ["up", "cut off", "down"])
async def test_a_logout_ends_the_streams_of_that_login_on_every_node(
    two_nodes: RelaySite, talking: Talking, bus: str
) -> None:
    site, nodes = two_nodes.site, two_nodes.nodes
    owner = await site.somebody("owner")
    leaver = await site.log_in(owner.email, owner.password)
    devices = [await talking.device(owner, node.device) for node in nodes]
    streams, unused = [], []
    for device, node in zip(devices, nodes, strict=True):
        streams.append([await talking.app_within(login, device.device_id, node.app) for login in (owner, leaver)])
        unused.append(await ticket_of(leaver, device.device_id))
    async with bus_that_is(two_nodes, bus):
        await leaver.log_out()
        assert await ended(*(of_leaver for _, of_leaver in streams)) == {CloseCode.REVOKED}
        for (of_owner, _), ticket, device, node in zip(streams, unused, devices, nodes, strict=True):
            asked = talking.app(leaver, device.device_id, node.app)
            assert await refused(asked) == CloseCode.NOT_AUTHENTICATED
            asked = talking.app_with(ticket, device.device_id, node.app)
            assert await refused(asked) == CloseCode.NOT_AUTHENTICATED
            await of_owner.exchange(b"still here")


async def test_a_node_that_cannot_read_what_ended_lets_nobody_go_on(two_nodes: RelaySite, talking: Talking) -> None:
    """Its database stands still while the owner revokes at the other node; and as soon as it reads, it knows."""
    owner, (first, second) = await two_nodes.site.somebody("owner"), two_nodes.nodes
    revoked, kept = [await victim(talking, owner, "revoke", second, second) for _ in range(2)]
    elsewhere = await victim(talking, owner, "", first, first)
    two_nodes.second.database.clamp()
    try:
        await end(two_nodes, owner, revoked)
        assert await ended(*revoked.streams, *kept.streams) == {CloseCode.UNAVAILABLE}
        for each in (revoked, kept):
            ticket = each.tickets.pop()
            assert await refused(talking.app_with(ticket, each.device_id, second.app)) == CloseCode.UNAVAILABLE
            assert await refused(talking.app(owner, each.device_id, second.app)) == CloseCode.UNAVAILABLE
        assert await refused(talking.app(owner, kept.device_id, first.app)) == CloseCode.UNAVAILABLE
        await elsewhere.streams[0].exchange(b"still here")
    finally:
        two_nodes.second.database.release()
    await talking.app_within(owner, kept.device_id, second.app)
    for node in (first, second):
        assert await refused(talking.app(owner, revoked.device_id, node.app)) in SHUT
