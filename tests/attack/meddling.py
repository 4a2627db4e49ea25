"""What a relay can do to the messages of a stream."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import Ended, Event, RequestReceived
from admittance.protocol.channel.handshake import EDHOC_PATH
from admittance.wire.channel import Credential, Entry
from admittance.wire.coap import codes, formats, options, stream
from admittance.wire.coap.message import CoapMessage
from tests.attack.relay_in_the_middle import OwnStream, Stream, Way

TO_APP, TO_DEVICE = Way.TO_APP, Way.TO_DEVICE

HANDSHAKE = 2
"""Messages of a handshake in one direction."""


def flipped(data: bytes) -> bytes:
    """A bit of what is said changed: the last eight bytes are OSCORE's tag."""
    return data[:-11] + bytes([data[-11] ^ 1]) + data[-10:]


def cut(data: bytes) -> bytes:
    return data[:-1]


def extended(data: bytes) -> bytes:
    return data + b"\0"


def with_token_of(other: bytes, data: bytes) -> bytes:
    """A message under the token of another one."""
    return data[:2] + token_of(other) + data[2 + data[0] :]


class ChangeOne:
    """Puts another message in the place of the one of that number in one direction, or none, in each stream."""

    def __init__(self, change: Callable[[bytes], bytes | None], way: Way, number: int) -> None:
        self._change = change
        self._at = (way, number)
        self.changed = 0

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if (way, len(stream.going(way)) - 1) != self._at:
            return (data,)
        self.changed += 1
        changed = self._change(data)
        return () if changed is None else (changed,)


class Again:
    """Sends everything twice, and with each request so many of those before it."""

    def __init__(self, earlier: int = 0) -> None:
        self._earlier = earlier

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        requests = stream.going(TO_DEVICE)
        earlier = requests[max(0, len(requests) - 1 - self._earlier) : -1] if way is TO_DEVICE else ()
        return (data, data, *earlier)


class Stale:
    """Once there are two answers, gives each request the one before, under the token that is waited for."""

    def __init__(self) -> None:
        self.answered = 0

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        answers = stream.going(TO_APP)
        if way is TO_DEVICE or len(answers) < HANDSHAKE + 2:
            return (data,)
        self.answered += 1
        return (with_token_of(data, answers[-2]),)


class Reversed:
    """Holds so many messages of a direction back, once the handshake is over, and sends them in reverse."""

    def __init__(self, way: Way, number: int) -> None:
        self._way = way
        self._number = number
        self._held: list[bytes] = []
        self.released = 0

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is not self._way or len(stream.going(way)) <= HANDSHAKE:
            return (data,)
        self._held.append(data)
        if len(self._held) < self._number:
            return ()
        released, self._held = self._held[::-1], []
        self.released += len(released)
        return released


class Exchanged:
    """Gives the first of two answers to who waits for the second, and the other way round."""

    def __init__(self) -> None:
        self._first: bytes | None = None

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is TO_DEVICE or len(stream.going(way)) <= HANDSHAKE:
            return (data,)
        if self._first is None:
            self._first = data
            return ()
        first, self._first = self._first, None
        return (with_token_of(data, first), with_token_of(first, data))


class Mirror:
    """Sends everything back to where it came from, too, but so many first messages of each direction."""

    def __init__(self, spared: int) -> None:
        self._spared = spared

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if len(stream.going(way)) > self._spared:
            stream.send(TO_APP if way is TO_DEVICE else TO_DEVICE, data)
        return (data,)


class Withhold:
    """While it is `on`, holds back what goes in one direction."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.on = False
        self.held: list[bytes] = []

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is not self._way or not self.on:
            return (data,)
        self.held.append(data)
        return ()


class Spliced:
    """Sends everything into the other streams that are meddled with so, too, but so many first messages of each
    direction."""

    def __init__(self, spared: int) -> None:
        self._spared = spared
        self._streams: dict[Stream, None] = {}
        self.spliced = 0

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        self._streams[stream] = None
        if len(stream.going(way)) > self._spared:
            others = [other for other in self._streams if other is not stream]
            self.spliced += len(others)
            for other in others:
                other.send(way, data)
        return (data,)


class Detour:
    """Leads an app to another device than it asks for."""

    def __init__(self, to: OwnStream) -> None:
        self._to = to
        self._tasks: list[asyncio.Task[None]] = []
        self.carried = 0

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is TO_DEVICE:
            self._tasks.append(asyncio.create_task(self._exchange(stream, data)))
            self.carried += 1
        return ()

    async def _exchange(self, stream: Stream, data: bytes) -> None:
        await self._to.send(data)
        stream.send(TO_APP, await self._to.answer())


class FalseKey(ChannelKey):
    """A key of the attacker's own under the name of somebody else."""

    def __init__(self, claimed: Credential) -> None:
        super().__init__(own_key())
        self.credential = claimed


def own_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def forged() -> CoapMessage:
    """An order as the owner's app puts it, which the owner never gave."""
    content_format = (options.CONTENT_FORMAT, options.encode_uint(formats.TEXT))
    return CoapMessage(codes.POST, os.urandom(4), (*options.path_options("/orders"), content_format), b"forged")


def handshake_request(payload: bytes) -> CoapMessage:
    """A message of EDHOC, under a token that is always the same."""
    content_format = (options.CONTENT_FORMAT, options.encode_uint(formats.CID_EDHOC))
    return CoapMessage(codes.POST, b"same", (*options.path_options(EDHOC_PATH), content_format), payload)


async def talk_as(own: ChannelKey, device: Credential, to: OwnStream, request: CoapMessage) -> list[Event]:
    """Open a channel to the device as whoever has this key, to ask something; what came of it until its end."""
    channel = Channel.initiator(own, device, random=os.urandom)
    channel.request(request, time.monotonic())
    channel.handle_timeout(time.monotonic())
    happened: list[Event] = []
    while not any(isinstance(event, Ended) for event in happened):
        for message in channel.drain():
            await to.send(stream.encode(message))
        channel.receive(stream.decode(await to.answer()), time.monotonic())
        happened += channel.events()
    return happened


class PoseAsDevice:
    """Answers the app in the device's place, with a key of the attacker's; whatever it asks gets `content`."""

    def __init__(self, key: ChannelKey, app: Entry, content: bytes) -> None:
        self._channel = Channel.responder(key, lambda _: app, random=os.urandom)
        self._content = content
        self.asked = 0

    def __call__(self, stream_: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        if way is TO_APP:
            return ()
        self._channel.receive(stream.decode(data), time.monotonic())
        for event in self._channel.events():
            if isinstance(event, RequestReceived):
                self._channel.respond(event.handle, CoapMessage(codes.CONTENT, payload=self._content))
        self.asked += 1
        stream_.send(TO_APP, *map(stream.encode, self._channel.drain()))
        return ()


class Lie:
    """Answers the app's protected requests itself, without protection, once with each of `codes`; while there are
    any, the device's own answers go nowhere."""

    def __init__(self) -> None:
        self.codes: tuple[int, ...] = ()

    def __call__(self, stream_: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        message = stream.decode(data)
        if not self.codes or message.option(options.OSCORE) is None:
            return (data,)
        if way is TO_APP:
            return ()
        lies = [CoapMessage(code, message.token, payload=b"forged") for code in self.codes]
        stream_.send(TO_APP, *map(stream.encode, lies))
        return (data,)


def bit_flipped(data: bytes, bit: int) -> bytes:
    """The message with that bit changed, counted from its beginning."""
    return (int.from_bytes(data, "big") ^ (1 << (8 * len(data) - 1 - bit))).to_bytes(len(data), "big")


class FlipEach:
    """Changes a bit of each protected request of the first stream, or of its answer: in the first one the first of
    `bits`, and so on."""

    def __init__(self, way: Way, bits: Sequence[int]) -> None:
        self._way = way
        self._bits = bits
        self._stream: Stream | None = None

    def __call__(self, stream: Stream, way: Way, data: bytes) -> Iterable[bytes]:
        self._stream = self._stream or stream
        if stream is not self._stream or way is not self._way or len(stream.going(way)) <= HANDSHAKE:
            return (data,)
        tokens = [token_of(request) for request in stream.going(TO_DEVICE)[HANDSHAKE:]]
        number = tokens.index(token_of(data))
        return (bit_flipped(data, self._bits[number]) if number < len(self._bits) else data,)


def token_of(data: bytes) -> bytes:
    return data[2 : 2 + data[0]]
