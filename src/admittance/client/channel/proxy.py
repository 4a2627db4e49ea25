"""A CoAP server on 127.0.0.1 that stands for the device at the other end of a channel.

Stock clients speak plain CoAP over UDP to it (RFC 7252) and need to know nothing of EDHOC, OSCORE or the relay.
Blocks (RFC 7959) end here, since a body travels whole in the channel; observations (RFC 7641) are passed on with
numbers of the proxy's own.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from msgspec.structs import replace

from admittance.client.channel.device_channel import DeviceChannel
from admittance.errors import (
    AdmittanceError,
    ChannelLost,
    ConfigurationError,
    Conflict,
    DeviceOffline,
    Malformed,
    NotFound,
    TooLarge,
    Unavailable,
)
from admittance.protocol.coap import blockwise, observe
from admittance.protocol.coap.reliability import DatagramEndpoint, DeliveryFailed, MessageReceived
from admittance.wire.coap import codes, options
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import Block

HOST: Final = "127.0.0.1"
MAX_CLIENTS: Final = 64
MAX_REQUESTS: Final = 16
MAX_DIAGNOSTIC_BYTES: Final = 500
PROXYING_NOT_SUPPORTED: Final = 0xA5

Address: TypeAlias = tuple[str, int]

_HERE: Final = (options.URI_HOST, options.URI_PORT, options.OBSERVE, options.BLOCK1, options.BLOCK2)
_NOT_PASSED_ON: Final = (*_HERE, options.SIZE1, options.SIZE2, options.REQUEST_TAG, options.NO_RESPONSE)


@dataclass
class _Client:
    """One client's address: bodies under way, and its running requests and observations by token."""

    uploads: blockwise.Uploads = field(default_factory=blockwise.Uploads)
    downloads: blockwise.Downloads = field(default_factory=blockwise.Downloads)
    running: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)

    def stop(self, token: bytes) -> None:
        task = self.running.pop(token, None)
        if task is not None:
            task.cancel()


class Proxy(asyncio.DatagramProtocol):
    """One UDP socket; made by `serve_proxy`."""

    def __init__(self, channel: DeviceChannel) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._endpoint = DatagramEndpoint(os.urandom)
        self._clients: dict[Address, _Client] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._endpoint.receive(data, addr, self._loop.time())
        self._flush()

    async def close(self) -> None:
        """End every observation, and give the port back."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for client in self._clients.values() for task in client.running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        for event in self._endpoint.events():
            match event:
                case MessageReceived(message, (str() as host, int() as port)):
                    self._receive(message, (host, port))
                case DeliveryFailed(token, (str() as host, int() as port)):
                    self._client((host, port)).stop(token)
        if self._transport is None or self._transport.is_closing():
            return
        for data, peer in self._endpoint.drain():
            assert isinstance(peer, tuple)
            self._transport.sendto(data, peer)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._endpoint.next_timeout()
        self._timer = None if due is None else self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._endpoint.handle_timeout(self._loop.time())
        self._flush()

    def _client(self, peer: Address) -> _Client:
        """What is known of a client, as the one used last; the one unused for longest makes room."""
        client = self._clients.pop(peer, None) or _Client()
        self._clients[peer] = client
        if len(self._clients) > MAX_CLIENTS:
            oldest = self._clients.pop(next(iter(self._clients)))
            for token in list(oldest.running):
                oldest.stop(token)
        return client

    def _receive(self, request: CoapMessage, peer: Address) -> None:
        if not codes.is_request(request.code):
            return
        client = self._client(peer)
        try:
            self._begin(client, request, peer)
        except AdmittanceError as error:
            self._fail(request, error, peer)

    def _begin(self, client: _Client, request: CoapMessage, peer: Address) -> None:
        """Answer what ends here, and start a task for what goes to the device."""
        for number in (options.PROXY_URI, options.PROXY_SCHEME):
            if request.option(number) is not None:
                raise _ForeignTarget("This proxy stands for one device alone.")
        if request.option(options.OSCORE) is not None:
            raise _BadOption("OSCORE is spoken behind this proxy, not before it.")
        now = self._loop.time()
        wanted = blockwise.block_of(request, options.BLOCK2)
        if wanted is not None and wanted.number:
            self._send(_answer(request, client.downloads.further(request, wanted, now)), peer)
            return
        client.stop(request.token)
        whole: CoapMessage | None = request
        part = blockwise.block_of(request, options.BLOCK1)
        if part is not None:
            whole = client.uploads.receive(request, part, now)
        if whole is None:
            self._send(CoapMessage(codes.CONTINUE, request.token, _echo(part)), peer)
            return
        if len(client.running) >= MAX_REQUESTS:
            raise Unavailable("Too many requests at once.")
        is_observation = observe.asked(request) == observe.REGISTER
        work = self._observe(client, whole, peer) if is_observation else self._ask(client, whole, peer, _echo(part))
        client.running[request.token] = asyncio.create_task(work)

    async def _ask(self, client: _Client, request: CoapMessage, peer: Address, echo: options.Options) -> None:
        try:
            answer = await self._channel.request(_passed_on(request))
            self._respond(client, request, answer.with_options(*echo), peer)
        except AdmittanceError as error:
            self._fail(request, error, peer)
        finally:
            self._finished(client, request)

    async def _observe(self, client: _Client, request: CoapMessage, peer: Address) -> None:
        numbers = observe.NotificationNumbers()
        try:
            async with aclosing(self._channel.notifications(_passed_on(request))) as answers:
                async for answer in answers:
                    number = ((options.OBSERVE, options.encode_uint(numbers.take())),) if answer.more else ()
                    self._respond(client, request, answer.message.with_options(*number), peer)
        except AdmittanceError as error:
            self._fail(request, error, peer)
        finally:
            self._finished(client, request)

    def _finished(self, client: _Client, request: CoapMessage) -> None:
        if client.running.get(request.token) is asyncio.current_task():
            del client.running[request.token]

    def _respond(self, client: _Client, request: CoapMessage, answer: CoapMessage, peer: Address) -> None:
        """Send an answer, or the first block of one that is larger than a datagram or than the client wants."""
        wanted = blockwise.block_of(request, options.BLOCK2)
        size = blockwise.BLOCK_BYTES if wanted is None else min(wanted.size, blockwise.BLOCK_BYTES)
        answer = answer.without(options.BLOCK2, options.SIZE2)
        if len(answer.payload) > size:
            answer = client.downloads.first(request, answer, size, self._loop.time())
        self._send(_answer(request, answer), peer)

    def _fail(self, request: CoapMessage, error: AdmittanceError, peer: Address) -> None:
        diagnostic = str(error).encode()[:MAX_DIAGNOSTIC_BYTES]
        self._send(CoapMessage(_code_of(error), request.token, (), diagnostic), peer)

    def _send(self, message: CoapMessage, peer: Address) -> None:
        self._endpoint.send(message, peer, self._loop.time())
        self._flush()


class _ForeignTarget(Conflict):
    """A request that names another target than the device."""


class _BadOption(Conflict):
    """An option that has no meaning before the proxy."""


@asynccontextmanager
async def serve_proxy(channel: DeviceChannel, port: int) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 until the block ends; gives the port, a free one for 0.

    Raises `ConfigurationError` when the port is taken.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, proxy = await loop.create_datagram_endpoint(lambda: Proxy(channel), local_addr=(HOST, port))
    except OSError as error:
        raise ConfigurationError(
            f"UDP port {port} cannot be used ({error.strerror}). Choose another: --port, or 0 for a free one."
        ) from error
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        await proxy.close()


def _passed_on(request: CoapMessage) -> CoapMessage:
    return replace(request.without(*_NOT_PASSED_ON), token=b"")


def _answer(request: CoapMessage, answer: CoapMessage) -> CoapMessage:
    return replace(answer, token=request.token)


def _echo(part: Block | None) -> options.Options:
    return () if part is None else ((options.BLOCK1, part.encode()),)


_CODES: Final[tuple[tuple[type[AdmittanceError], int], ...]] = (
    (_ForeignTarget, PROXYING_NOT_SUPPORTED),
    (_BadOption, codes.BAD_OPTION),
    (Conflict, codes.REQUEST_ENTITY_INCOMPLETE),
    (NotFound, codes.REQUEST_ENTITY_INCOMPLETE),
    (TooLarge, codes.TOO_LARGE),
    (Malformed, codes.BAD_REQUEST),
    (ChannelLost, codes.BAD_GATEWAY),
    (DeviceOffline, codes.UNAVAILABLE),
    (Unavailable, codes.GATEWAY_TIMEOUT),
)


def _code_of(error: AdmittanceError) -> int:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return codes.BAD_GATEWAY
