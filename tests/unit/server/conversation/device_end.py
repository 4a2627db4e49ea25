"""A device's end of its stream 0: a real channel, over a stream in memory."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import NotAllowed
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import Ended, RequestFailed, RequestReceived, ResponseReceived
from admittance.server.relay.ports import StreamSink
from admittance.wire import relay
from admittance.wire.channel import Entry
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import CloseReason

MESSAGE_1 = b"\xf5"
"""How the payload of a handshake's first message begins (RFC 9528, appendix A.2.1)."""

Handle = Callable[[CoapMessage], CoapMessage | None]
"""Answers a request, or with None does not."""


def new_key() -> ChannelKey:
    return ChannelKey(ec.generate_private_key(ec.SECP256R1()))


@dataclass
class DeviceEnd:
    """Also the node's `Stream` to the device. `silent` drops what comes."""

    key: ChannelKey
    server: bytes
    handle: Handle = lambda _: CoapMessage(codes.CHANGED)
    sink: StreamSink | None = None
    silent: bool = False
    handshakes: int = 0
    asked: list[CoapMessage] = field(default_factory=list)
    answers: list[CoapMessage | Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._parts: list[bytes] = []
        self._taken = 0
        self.restart()

    def restart(self) -> None:
        """Forget the channel, as a device does that boots."""
        self.channel = Channel.responder(self.key, self._find, random=os.urandom)

    def _find(self, kid: bytes) -> Entry:
        entry = Entry(self.server, b"", "server", 1, "server", 0, ())
        if entry.kid != kid:
            raise NotAllowed("not listed")
        return entry

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._parts.append(fragment)
        self._taken += 1
        if self._taken % relay.CREDIT_BATCH == 0:
            asyncio.get_running_loop().call_soon(self._grant)
        if final:
            whole, self._parts = b"".join(self._parts), []
            asyncio.get_running_loop().call_soon(self._take, whole)

    def credit(self, frames: int) -> None:
        assert frames == relay.CREDIT_BATCH

    def close(self, reason: CloseReason) -> None:
        raise AssertionError("stream 0 is never closed")

    def ask(self, request: CoapMessage) -> None:
        """Send a request to the server; what comes of it goes to `answers`."""
        self.channel.request(request, asyncio.get_running_loop().time())
        self._pump()

    def send_raw(self, data: bytes) -> None:
        assert self.sink is not None
        self.sink.data(data, final=True)

    def _grant(self) -> None:
        assert self.sink is not None
        self.sink.credit(relay.CREDIT_BATCH)

    def _take(self, whole: bytes) -> None:
        if self.silent:
            return
        message = stream.decode(whole)
        self.handshakes += message.payload.startswith(MESSAGE_1)
        self.channel.receive(message, asyncio.get_running_loop().time())
        self._pump()

    def _pump(self) -> None:
        assert self.sink is not None
        for event in self.channel.events():
            match event:
                case RequestReceived():
                    self.asked.append(event.message)
                    response = self.handle(event.message)
                    if response is not None:
                        self.channel.respond(event.handle, response)
                case ResponseReceived():
                    self.answers.append(event.message)
                case RequestFailed():
                    self.answers.append(event.error)
                case Ended():
                    self.restart()
                case _:
                    pass
        for message in self.channel.drain():
            fragments = relay.fragments(stream.encode(message))
            for index, fragment in enumerate(fragments):
                self.sink.data(fragment, final=index == len(fragments) - 1)
