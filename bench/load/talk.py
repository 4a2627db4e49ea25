"""Ends that talk: channels with EDHOC and OSCORE over the relay, by the very machines that device and client use."""

import asyncio
import os
from collections.abc import Callable

from admittance.errors import ChannelLost, NetworkFailure, NotFound
from admittance.protocol.channel.channel import Channel, Ended, RequestFailed, RequestReceived, ResponseReceived
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.relay.device_mux import DeviceMux, Event, StreamClosed, StreamMessage
from admittance.protocol.signing import spki_of
from admittance.wire import relay
from admittance.wire.channel import Credential, Entry
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from bench.load.population import Device, Population, private_key
from bench.load.relay_ends import DeviceEnd, app_headers
from bench.load.websocket_ends import WebSocketEnd, frame

REQUEST_S = 10.0
_PATH = path_options("/numbers")
_NUMBER_BYTES = 8


class TalkingDevice(DeviceEnd):
    """A device that carries out requests, each of which has a number: `executed` hears of each."""

    def __init__(self, population: Population, number: int, certificate_sha256: bytes) -> None:
        device = population.devices[number]
        super().__init__(device, certificate_sha256)
        self.executed: Callable[[int], None] = lambda request: None
        self.lost: Callable[[], None] = lambda: None
        self._owner = _owner(population, device)
        self._key = ChannelKey(private_key(device.channel_key))
        self._mux = DeviceMux()
        self._channels: dict[int, Channel] = {}

    def messages(self, count: int) -> bytes:
        """A device says nothing by itself."""
        return b""

    def take_batch(self, data: bytes) -> None:
        self._mux.receive(data)
        for event in self._mux.events():
            self._take_event(event)
        self._flush()

    def tick(self, now: float) -> None:
        """Let the channels do what is due."""
        for number, channel in tuple(self._channels.items()):
            due = channel.next_timeout()
            if due is not None and due <= now:
                channel.handle_timeout(now)
                self._advance(number, channel)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._channels.clear()
        self.lost()

    def _take_event(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self._channels.pop(event.stream, None)
            return
        channel = self._channels.get(event.stream)
        if channel is None:
            channel = Channel.responder(self._key, self._find, random=os.urandom)
            self._channels[event.stream] = channel
        if isinstance(event, StreamMessage):
            channel.receive(stream.decode(event.data), asyncio.get_running_loop().time())
            self._advance(event.stream, channel)

    def _advance(self, number: int, channel: Channel) -> None:
        for event in channel.events():
            if isinstance(event, RequestReceived):
                self.executed(int.from_bytes(event.message.payload, "big"))
                channel.respond(event.handle, CoapMessage(codes.CHANGED, payload=event.message.payload))
            elif isinstance(event, Ended):
                self._channels.pop(number, None)
                self._mux.close(number)
        for answer in channel.drain():
            self._mux.send(number, stream.encode(answer))

    def _flush(self) -> None:
        for batch in self._mux.drain():
            self.write(frame(batch))

    def _find(self, kid: bytes) -> Entry:
        if kid != self._owner.kid:
            raise NotFound("There is no such credential.")
        return self._owner


class TalkingApp(WebSocketEnd):
    """An app that asks a device; `answered` and `failed` hear of each request, and `ended` of the connection."""

    def __init__(self, population: Population, number: int) -> None:
        device = population.devices[number]
        super().__init__(f"{relay.APP_PATH}{device.device_id}", app_headers(population, device))
        self.answered: Callable[[int], None] = lambda request: None
        self.failed: Callable[[int], None] = lambda request: None
        self.is_over = False
        app = population.apps[device.account]
        peer = Credential.from_spki(spki_of(private_key(device.channel_key).public_key()))
        self._channel = Channel.initiator(ChannelKey(private_key(app.channel_key)), peer, random=os.urandom)
        self._asked: dict[int, int] = {}

    def ask(self, request: int) -> None:
        """Ask the device to carry out the request of that number. Raises `ChannelLost`."""
        message = CoapMessage(codes.POST, options=_PATH, payload=request.to_bytes(_NUMBER_BYTES, "big"))
        handle = self._channel.request(message, asyncio.get_running_loop().time(), REQUEST_S)
        self._asked[handle] = request
        self._advance()

    def opened(self) -> None:
        self.is_ready()

    def messages(self, count: int) -> bytes:
        """An app says nothing by itself."""
        return b""

    def take_message(self, data: bytes) -> None:
        self._channel.receive(stream.decode(data), asyncio.get_running_loop().time())
        self._advance()

    def tick(self, now: float) -> None:
        """Let the channel do what is due."""
        due = self._channel.next_timeout()
        if due is not None and due <= now:
            self._channel.handle_timeout(now)
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._channel.lost(ChannelLost(f"The connection is over: {self.failure or exc}"))
        self._advance()

    def _advance(self) -> None:
        for message in self._channel.drain():
            self.write(frame(stream.encode(message)))
        for event in self._channel.events():
            if isinstance(event, ResponseReceived):
                self.answered(self._number(event))
            elif isinstance(event, RequestFailed):
                self.failed(self._asked[event.handle])
            elif isinstance(event, Ended):
                self.is_over = True
                self.close()

    def _number(self, answer: ResponseReceived) -> int:
        """The request that is answered. Raises `NetworkFailure` for an answer to another."""
        request = self._asked[answer.handle]
        if answer.message.code != codes.CHANGED or int.from_bytes(answer.message.payload, "big") != request:
            raise NetworkFailure("protocol", f"request {request} was answered with {answer.message}")
        return request


def _owner(population: Population, device: Device) -> Entry:
    key = private_key(population.apps[device.account].channel_key)
    return Entry(
        spki=spki_of(key.public_key()),
        signing=b"",
        role="owner",
        epoch=device.epoch,
        name="app",
        expires_at=0,
        scope=(),
    )
