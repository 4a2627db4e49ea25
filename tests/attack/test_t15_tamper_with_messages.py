"""T15. Means: who is between app and device reads, changes and sends protected messages, knows what is said in some
of them, and sees what answers come. Goal: have something changed taken for genuine, mix bodies that travel in blocks,
learn a plaintext from another one that is known, or learn from the answers to what he made up.

OSCORE leaves the outer code and the token to the relay: changing them changes nothing that is said, and may cost an
answer.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from admittance.errors import NotFound
from admittance.protocol.channel.edhoc import ChannelKey, Initiator
from admittance.protocol.channel.oscore import oscore_option
from admittance.wire import oscore
from admittance.wire.coap import codes, options, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.oscore import OscoreOption
from tests.attack.channel_site import ChannelSite, Talk
from tests.attack.meddling import (
    HANDSHAKE,
    TO_APP,
    TO_DEVICE,
    Again,
    ChangeOne,
    FalseKey,
    FlipEach,
    Reversed,
    bit_flipped,
    handshake_request,
    own_key,
    with_token_of,
)
from tests.attack.relay_in_the_middle import Stream, Way
from tests.attack.world import until

CODE_BYTE = 1
TOKEN_BYTES = range(2, 6)
TAG_BYTES = 8
BEGINNING = 8
"""Bytes of a ciphertext: as many do not come twice by chance."""

DOCUMENT_BYTES = 3500
BLOCKS = 4
AT_ONCE = 8
FLIPS_OF_A_STREAM = 15
"""A device works on one more request of an app at a time."""


@pytest.fixture
def site(relayed: ChannelSite) -> ChannelSite:
    return relayed


# Bits.


def framing_of(data: bytes) -> tuple[int, ...]:
    """The bytes of a protected message that say what the others are: on how they are wrong it depends whether the
    rest is a message at all, and one that is none ends its stream."""
    option = 2 + data[0]
    return (0, CODE_BYTE, option, option + 1 + (data[option] & 15))


async def flip_every_bit(site: ChannelSite, way: Way) -> dict[int, tuple[str, bool]]:
    """Flip each bit of an order, or of the answer to one; the order for each bit, and whether the app was told that
    it was carried out. A channel that gets such messages goes on."""
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        sample = talk.stream.going(way)[HANDSHAKE]
    framing = [bit for byte in framing_of(sample) for bit in range(8 * byte, 8 * byte + 8)]
    others = [bit for bit in range(8 * len(sample)) if bit not in framing]
    fates: dict[int, tuple[str, bool]] = {}
    few = asyncio.Semaphore(AT_ONCE)

    async def attack(*bits: int) -> None:
        async with few, site.talk(FlipEach(way, bits)) as talk:
            attacked = talk.stream
            orders = [site.new_order(site.first) for _ in bits]
            told = await asyncio.gather(*(talk.order(order=order) for order in orders))
            fates.update(zip(bits, zip(orders, told, strict=True), strict=True))
            assert await talk.order(timeout_s=10)
            assert talk.stream is attacked or bits[0] in framing

    starts = range(0, len(others), FLIPS_OF_A_STREAM)
    await asyncio.gather(*(attack(*others[start : start + FLIPS_OF_A_STREAM]) for start in starts))
    await asyncio.gather(*map(attack, framing))
    assert len(fates) == 8 * len(sample)
    return fates


async def test_no_bit_of_an_order_can_be_changed(site: ChannelSite) -> None:
    fates = await flip_every_bit(site, TO_DEVICE)
    carried_out = set(site.carried_out(site.first))
    of_the_relay = (CODE_BYTE, *TOKEN_BYTES)
    believed = {bit // 8 for bit, (order, told) in fates.items() if told or order in carried_out}
    assert believed <= set(of_the_relay)
    await site.assert_holds()


async def test_no_bit_of_an_answer_can_be_changed(site: ChannelSite) -> None:
    fates = await flip_every_bit(site, TO_APP)
    carried_out = set(site.carried_out(site.first))
    assert {order for order, _ in fates.values()} <= carried_out
    assert {bit // 8 for bit, (_, told) in fates.items() if told} <= {CODE_BYTE}
    await site.assert_holds()


# Blocks.


@pytest.mark.parametrize("way", list(Way))
async def test_blocks_of_several_bodies_in_another_order(site: ChannelSite, way: Way) -> None:
    """Three bodies go up and come down at a time, and each three messages arrive in reverse."""
    meddle = Reversed(way, 3)
    async with site.talk(meddle) as talk:
        assert all(await asyncio.gather(*(talk.hand_over(DOCUMENT_BYTES, timeout_s=10) for _ in range(3))))
    assert meddle.released >= 3 * BLOCKS
    await site.assert_holds()


async def test_blocks_that_come_again(site: ChannelSite) -> None:
    async with site.talk(Again()) as talk:
        assert all(await asyncio.gather(*(talk.hand_over(DOCUMENT_BYTES, timeout_s=10) for _ in range(2))))
    await site.assert_holds()


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("instead", ["nothing", "a block of another body"])
async def test_a_block_that_is_missing(site: ChannelSite, instead: str, way: Way) -> None:
    """Up or down, whichever block it is: the body is not taken for whole, and a later one is."""
    async with site.talk() as talk:
        assert await talk.hand_over(DOCUMENT_BYTES, timeout_s=10)
        blocks = talk.stream.going(way)[HANDSHAKE:]

    async def attack(number: int) -> None:
        def other(data: bytes) -> bytes | None:
            """That block of the body before: as it was in this stream, under the token that is waited for."""
            return None if instead == "nothing" else with_token_of(data, talk.stream.going(way)[HANDSHAKE + number])

        changed = ChangeOne(other, way, HANDSHAKE + len(blocks) + number)
        async with site.talk(changed) as talk:
            assert await talk.hand_over(DOCUMENT_BYTES, timeout_s=10)
            assert not await talk.hand_over(DOCUMENT_BYTES)
            assert changed.changed
            assert await talk.hand_over(DOCUMENT_BYTES, timeout_s=10)

    await asyncio.gather(*map(attack, range(len(blocks))))
    await site.assert_holds()


# Known plaintext.


async def test_what_is_said_again_is_never_protected_alike(site: ChannelSite) -> None:
    """Everything said here is known but for the keys: the same request and the same answer, over and over."""
    streams: list[Stream] = []
    async with site.talk() as talk:
        for _ in range(3):
            for _ in range(15):
                with pytest.raises(NotFound):
                    await talk.channel.get("/refusals")
            streams.append(talk.stream)
            talk.stream.cut()
            await until(lambda: not streams[-1].is_open, "The stream is over.")
    messages = [stream.decode(data) for each in streams for _, data in each.seen]
    protected = [message.payload for message in messages if message.option(options.OSCORE) is not None]
    handshakes = [message.payload for message in messages if message.option(options.OSCORE) is None]
    assert len(protected) == 3 * 15 * 2
    assert len({len(payload) for payload in protected}) == 2
    assert len({payload[:BEGINNING] for payload in protected}) == len(protected)
    assert len(handshakes) == 3 * 2 * HANDSHAKE
    assert len({payload[1:][:BEGINNING] for payload in handshakes}) == len(handshakes)


async def test_no_number_is_used_twice_under_a_key(site: ChannelSite) -> None:
    """Whatever is said, and however often the attacker repeats it: a nonce is a sender's number under its key."""
    rounds = 5
    async with site.talk(Again()) as talk:
        async with talk.watch() as shown:
            for _ in range(rounds):
                assert await talk.order(timeout_s=10)
                assert await talk.hand_over(DOCUMENT_BYTES, timeout_s=10)
            await until(lambda: len(shown) > 1, "Notifications came.")
        requests = protected(talk.stream, TO_DEVICE)
        answers = protected(talk.stream, TO_APP)
    numbers = [oscore_option(request).partial_iv for request in requests]
    assert len(requests) > rounds * 2 * BLOCKS
    assert len(set(numbers)) == len(numbers)
    own = [number for answer in answers if (number := oscore_option(answer).partial_iv) is not None]
    assert own, "Notifications have numbers of the device's."
    assert len(set(own)) == len(own)
    borrowed = [answer.token for answer in answers if oscore_option(answer).partial_iv is None]
    assert len(set(borrowed)) == len(borrowed)
    await site.assert_holds()


def protected(attacked: Stream, way: Way) -> list[CoapMessage]:
    messages = map(stream.decode, attacked.going(way))
    return [message for message in messages if message.option(options.OSCORE) is not None]


# Oracles.


async def test_nothing_tells_why_a_message_does_not_open(site: ChannelSite) -> None:
    """Forged, cut, stale or moved: nobody says anything, and the channel goes on."""
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        (elsewhere,) = protected(talk.stream, TO_DEVICE)
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        (genuine,) = protected(talk.stream, TO_DEVICE)
        (answer,) = protected(talk.stream, TO_APP)
        option = oscore_option(genuine)
        sealed = genuine.payload
        fresh = replace(option, partial_iv=b"\x7f")
        undecipherable = [
            genuine,
            *(replace(genuine, payload=bit_flipped(sealed, bit)) for bit in range(0, 8 * len(sealed), 24)),
            *(
                replace(genuine, payload=sealed[:length])
                for length in (0, 1, TAG_BYTES - 1, TAG_BYTES, TAG_BYTES + 1)
            ),
            replace(genuine, payload=sealed + b"\0"),
            replace(genuine, payload=os.urandom(4096)),
            replace(genuine, payload=os.urandom(5000)),
            replace(genuine, payload=elsewhere.payload),
            under(genuine, fresh),
            under(replace(genuine, payload=os.urandom(len(sealed))), fresh),
            under(genuine, replace(option, kid_context=b"another")),
            under(genuine, replace(option, partial_iv=None)),
            replace(under(genuine, fresh), code=codes.FETCH).with_options((options.OBSERVE, b"")),
            answer,
        ]
        assert await said_to(talk, undecipherable) == []
    await site.assert_holds()


async def test_nothing_tells_what_is_under_keys_that_are_not_there(site: ChannelSite) -> None:
    """A name that is not in use is refused alike, whatever comes with it, in a stream with keys and without."""
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        (genuine,) = protected(talk.stream, TO_DEVICE)
        option = oscore_option(genuine)
        others = [
            under(replace(genuine, payload=payload), replace(option, partial_iv=number, kid=kid))
            for payload in (genuine.payload, os.urandom(len(genuine.payload)), b"", os.urandom(2000))
            for number in (option.partial_iv, b"\x7f")
            for kid in (b"", b"other", bytes(7))
        ]
        answers = await said_to(talk, others)
    own = site.relay.device(site.first.device_id).open_stream()
    for message in (genuine, *others):
        await own.send(stream.encode(message))
        answers.append(await own.answer())
    assert len(answers) == 2 * len(others) + 1
    assert set(answers) == {stream.encode(CoapMessage(codes.UNAUTHORIZED, genuine.token))}
    assert own.answers() == []
    await site.assert_holds()


async def test_nothing_tells_why_a_handshake_failed(site: ChannelSite) -> None:
    """A stranger's key, the owner's name without the key, and noise are answered by the same bytes, once."""
    stranger, impostor = ChannelKey(own_key()), FalseKey(site.owner_credential)
    ways: list[tuple[ChannelKey, Callable[[bytes], bytes]]] = [
        (stranger, lambda message_3: message_3),
        (impostor, lambda message_3: message_3),
        (stranger, lambda message_3: message_3[:-1] + bytes([message_3[-1] ^ 1])),
        (impostor, lambda message_3: message_3[:-1] + bytes([message_3[-1] ^ 1])),
        (stranger, lambda message_3: message_3[:2] + os.urandom(len(message_3) - 2)),
    ]
    answers = set()
    for own, changed in ways:
        opened = site.relay.device(site.first.device_id).open_stream()
        initiator = Initiator(own, site.first_credential)
        await opened.send(stream.encode(handshake_request(initiator.message_1())))
        message_3 = initiator.receive_message_2(stream.decode(await opened.answer()).payload)
        await opened.send(stream.encode(handshake_request(changed(message_3))))
        answers.add(await opened.answer())
        await opened.send(stream.encode(handshake_request(Initiator(own, site.first_credential).message_1())))
        assert stream.decode(await opened.answer()).code == codes.CHANGED, "Nothing was said in between."
    assert len(answers) == 1
    await site.assert_holds()


def under(message: CoapMessage, option: OscoreOption) -> CoapMessage:
    """The message with another OSCORE option."""
    return replace(message.without(options.OSCORE), options=()).with_options((options.OSCORE, oscore.encode(option)))


async def said_to(talk: Talk, messages: Sequence[CoapMessage]) -> list[bytes]:
    """What the device says to these messages in the owner's stream, which still serves the owner afterwards."""
    before = len(talk.stream.going(TO_APP))
    talk.stream.send(TO_DEVICE, *map(stream.encode, messages))
    assert await talk.order(timeout_s=10)
    return talk.stream.going(TO_APP)[before:-1]
