"""T14. Means: the relay is the attacker's, with its certificates and keys. Apps and devices believe it, every message
and frame between them is in his hands, and he can make up others. Goal: read what they say, have a device do what its
owner did not order, have it do an order twice, or have the owner's app show what the device did not answer.

Not prevented, and not tested: he sees sizes, times, kids and numbers, and who is there; he can hold back whatever he
likes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import pytest

from admittance.errors import AuthenticationFailed, NotFound
from admittance.protocol.channel.opening import MAX_ATTEMPTS
from admittance.wire import relay
from admittance.wire.coap import codes, stream
from admittance.wire.relay import Frame
from tests.attack import actuator
from tests.attack.channel_site import ANSWER_S, ChannelSite, Talk
from tests.attack.meddling import (
    HANDSHAKE,
    TO_APP,
    TO_DEVICE,
    Again,
    ChangeOne,
    Exchanged,
    Mirror,
    Reversed,
    Spliced,
    Stale,
    Withhold,
    cut,
    extended,
    flipped,
)
from tests.attack.relay_in_the_middle import DeviceConnection, Stream, Way, pass_frame_on
from tests.attack.world import Device, until

DOCUMENT_BYTES = 3500
"""More than goes in one message: the document and its answer travel in blocks."""


@pytest.fixture
def site(relayed: ChannelSite) -> ChannelSite:
    return relayed


async def converse(talk: Talk) -> None:
    """All that can be said on a channel: an order, a question, a document, and an observation with a change."""
    await talk.order()
    await talk.look()
    await talk.hand_over(DOCUMENT_BYTES)
    async with talk.watch() as shown:
        await soon(lambda: bool(shown))
        await talk.order()
        await soon(lambda: len(shown) > 1)


async def soon(condition: Callable[[], bool]) -> None:
    """Wait for what the attacker may prevent."""
    deadline = time.monotonic() + ANSWER_S
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


# Read.


async def test_a_relay_that_reads_all_learns_nothing_that_is_said(site: ChannelSite) -> None:
    known = set(site.documents)
    async with site.talk() as talk:
        await converse(talk)
        with pytest.raises(NotFound, match=actuator.REFUSAL):
            await talk.channel.get("/refusals")
        listed = (await talk.channel.get("/credentials")).plain()
        streams = [data for _, data in talk.stream.seen]
    frames = [frame.payload for _, frame in site.relay.device(site.first.device_id).seen]
    names = [name for _, _, name, _ in listed]
    (document,) = map(bytes.fromhex, site.documents - known)
    words = [
        "orders",
        "documents",
        "refusals",
        "credentials",
        actuator.REFUSAL,
        *site.carried_out(site.first),
        *names,
    ]
    assert site.profile.name in names, "There was something to read."
    for seen in (b"\n".join(streams), b"\n".join(frames)):
        assert len(seen) > 2 * DOCUMENT_BYTES
        for said in (*map(str.encode, words), document[:16], document[::-1][:16]):
            assert said not in seen
    await site.assert_holds()


# Change.


@pytest.mark.parametrize("change", [flipped, cut, extended])
async def test_a_relay_that_changes_any_message_of_a_conversation(
    site: ChannelSite, change: Callable[[bytes], bytes]
) -> None:
    async with site.talk() as talk:
        await converse(talk)
        lengths = {way: len(talk.stream.going(way)) for way in Way}
    assert min(lengths.values()) > HANDSHAKE + 8, "Orders, documents in blocks and notifications were there."
    meddlers = [ChangeOne(change, way, number) for way in Way for number in range(lengths[way])]

    async def attack(meddle: ChangeOne) -> None:
        for _ in range(3):
            async with site.talk(meddle) as talk:
                await converse(talk)
            if meddle.changed:
                return

    await asyncio.gather(*map(attack, meddlers))
    assert all(meddle.changed for meddle in meddlers)
    await site.assert_holds()


# Replay.


async def test_a_relay_that_replays_the_requests_of_a_stream(site: ChannelSite) -> None:
    async with site.talk(Again(earlier=6)) as talk:
        for _ in range(4):
            assert await talk.order(timeout_s=10)
        sent = [data for way, data in talk.stream.sent if way is TO_DEVICE]
    assert len(sent) > 2 * len(set(sent))
    await site.assert_holds()


async def test_a_relay_that_replays_the_requests_of_an_earlier_stream(site: ChannelSite) -> None:
    async with site.talk() as talk:
        await converse(talk)
        earlier = talk.stream.going(TO_DEVICE)
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        talk.stream.send(TO_DEVICE, *earlier)
        assert await talk.order(timeout_s=10)
    established = len(site.first.events("channel_established"))
    own = site.relay.device(site.first.device_id).open_stream()
    for data in earlier:
        await own.send(data)
    answers = [stream.decode(await own.answer()) for _ in earlier]
    assert [codes.text(answer.code) for answer in answers[:HANDSHAKE]] == ["2.04", "4.00"]
    assert {answer.code for answer in answers[HANDSHAKE:]} == {codes.UNAUTHORIZED}
    assert len(site.first.events("channel_established")) == established
    await site.assert_holds()


async def test_a_relay_that_replays_answers(site: ChannelSite) -> None:
    stale = Stale()
    async with site.talk(stale) as talk:
        assert await talk.look(timeout_s=10) is not None
        outcomes = await asyncio.gather(*(talk.look() for _ in range(3)), talk.order())
        assert not any(outcomes)
    assert stale.answered == len(outcomes)
    await site.assert_holds()


# Reorder.


@pytest.mark.parametrize("way", list(Way))
async def test_a_relay_that_reorders_requests_or_answers(site: ChannelSite, way: Way) -> None:
    number = 8
    meddle = Reversed(way, number)
    async with site.talk(meddle) as talk:
        assert all(await asyncio.gather(*(talk.order(timeout_s=10) for _ in range(number))))
    assert meddle.released == number
    await site.assert_holds()


async def test_a_relay_that_exchanges_answers(site: ChannelSite) -> None:
    async with site.talk(Exchanged()) as talk:
        assert not any(await asyncio.gather(talk.order(), talk.order()))
        assert not any(await asyncio.gather(talk.look(), talk.look()))
    await site.assert_holds()


async def test_a_relay_that_reorders_notifications(site: ChannelSite) -> None:
    """What the app is shown never goes back to an earlier state."""
    changes = 4
    meddle = Reversed(TO_APP, changes)
    async with site.talk() as orders, site.talk(meddle) as talk, talk.watch() as shown:
        for _ in range(3 * changes):
            await orders.order(timeout_s=10)
            await asyncio.sleep(0.02)
        await until(lambda: meddle.released >= 2 * changes, "Notifications came in reverse.")
        await soon(lambda: len(shown) > 1)
    assert shown
    assert shown == sorted(shown)
    await site.assert_holds()


# Reflect.


async def test_a_relay_that_reflects_everything_that_is_said(site: ChannelSite) -> None:
    async with site.talk(Mirror(HANDSHAKE)) as talk:
        await converse(talk)
        assert await talk.order(timeout_s=10)
        assert len(talk.stream.sent) > 2 * (len(talk.stream.seen) - 2 * HANDSHAKE)
    await site.assert_holds()


async def test_a_relay_that_reflects_a_handshake(site: ChannelSite) -> None:
    """Nobody takes his own messages for another's; what answers them may make the app give up."""
    with contextlib.suppress(AuthenticationFailed):
        async with site.talk(Mirror(0)) as talk:
            await converse(talk)
    await site.assert_holds()


# Drop.


@pytest.mark.parametrize("way", list(Way))
async def test_a_relay_that_drops_an_order_or_its_answer(site: ChannelSite, way: Way) -> None:
    """The app is told that it failed, also where the device carried it out, and nobody tries again by himself."""
    withhold = Withhold(way)
    async with site.talk(withhold) as talk:
        assert await talk.order(timeout_s=10)
        withhold.on = True
        carried_out = len(site.carried_out(site.first))
        assert not await talk.order()
        assert len(withhold.held) == 1
        assert len(site.carried_out(site.first)) == carried_out + (way is TO_APP)
        withhold.on = False
        assert await talk.order(timeout_s=10), "The channel is still good."
        assert len(site.carried_out(site.first)) == carried_out + 1 + (way is TO_APP)
    await site.assert_holds()


async def test_a_relay_that_cuts_the_connection_behind_an_order(site: ChannelSite) -> None:
    withhold = Withhold(TO_APP)
    async with site.talk(withhold) as talk:
        assert await talk.order(timeout_s=10)
        withhold.on = True
        carried_out = len(site.carried_out(site.first))
        ordering = asyncio.create_task(talk.order(timeout_s=10))
        await until(lambda: bool(withhold.held), "The device answered.")
        talk.stream.cut()
        assert not await ordering
        withhold.on = False
        assert await talk.order(timeout_s=10), "Another stream takes the place of the one that broke."
    assert len(site.carried_out(site.first)) == carried_out + 2
    await site.assert_holds()


async def test_a_relay_that_delivers_an_order_after_the_app_gave_it_up(site: ChannelSite) -> None:
    """It can; the order is carried out then, and once."""
    withhold = Withhold(TO_DEVICE)
    async with site.talk(withhold) as talk:
        assert await talk.order(timeout_s=10)
        withhold.on = True
        carried_out = len(site.carried_out(site.first))
        assert not await talk.order()
        withhold.on = False
        talk.stream.send(TO_DEVICE, *withhold.held, *withhold.held)
        assert await talk.order(timeout_s=10)
    assert len(site.carried_out(site.first)) == carried_out + 2
    await site.assert_holds()


# Splice.


async def test_a_relay_that_splices_streams(site: ChannelSite) -> None:
    """Two apps of one device, and a third of another: what is said to one comes to all."""
    spliced, carried_out = Spliced(HANDSHAKE), len(site.carried_out(site.second))
    async with site.talk(spliced) as one, site.talk(spliced) as two, site.talk(spliced, site.second) as three:
        for talk in (one, two, three, one, two):
            assert await talk.order(timeout_s=10)
            assert await talk.look(timeout_s=10) is not None
    assert spliced.spliced == 40
    assert len(site.carried_out(site.second)) == carried_out + 1
    await site.assert_holds()


async def test_a_relay_that_splices_handshakes(site: ChannelSite) -> None:
    """Who fails for it has no channel; who has one has it with the device that was asked for."""
    spliced = Spliced(0)

    async def attack(device: Device) -> None:
        with contextlib.suppress(AuthenticationFailed):
            async with site.talk(spliced, device) as talk:
                await talk.order()

    await asyncio.gather(*(attack(device) for device in (site.first, site.second) * 3))
    assert spliced.spliced > 20
    await site.assert_holds()


async def test_a_relay_that_leads_an_app_to_the_servers_stream(site: ChannelSite) -> None:
    """On stream 0 the device talks with its server, and with nobody else."""
    connection = site.relay.device(site.first.device_id)
    apps: list[Stream] = []

    def to_stream_0(stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is TO_DEVICE:
            apps.append(stream)
            connection.inject(relay.data_frame(relay.SERVER_STREAM, data, final=True))
        return ()

    def from_stream_0(connection: DeviceConnection, way: Way, frame: Frame) -> Iterable[Frame]:
        if way is TO_DEVICE or frame.stream != relay.SERVER_STREAM or frame.type != relay.DATA:
            return (frame,)
        apps[-1].send(TO_APP, frame.payload)
        return ()

    site.relay.meddle_with_frames = from_stream_0
    try:
        with pytest.raises(AuthenticationFailed):
            async with site.talk(to_stream_0):
                pass
    finally:
        site.relay.meddle_with_frames = pass_frame_on
    assert len(apps) == 2 * MAX_ATTEMPTS, "Each handshake went as far as message_3."
    await site.assert_holds()
