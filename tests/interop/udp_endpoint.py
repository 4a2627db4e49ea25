"""Our CoAP over a real UDP socket, as thin as it can be: the message layer, and one security context above it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from admittance.protocol.channel.oscore import Challenge, EchoGate, Exchange, SecurityContext, with_echo
from admittance.protocol.coap.reliability import DatagramEndpoint, MessageReceived
from admittance.wire.coap.message import CoapMessage


class UdpEndpoint(asyncio.DatagramProtocol):
    """A socket with our message layer; `received` is called with each message and its peer."""

    def __init__(self, received: Callable[["UdpEndpoint", CoapMessage, Any], None]) -> None:
        self.endpoint = DatagramEndpoint(secrets.token_bytes)
        self.drop_next = 0
        self._received = received
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, received: Callable[["UdpEndpoint", CoapMessage, Any], None]) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(lambda: cls(received), ("127.0.0.1", 0))
        try:
            yield protocol
        finally:
            protocol._stop_timer()
            transport.close()

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.drop_next:
            self.drop_next -= 1
            return
        self.endpoint.receive(data, addr, self._now())
        self._advance()

    def send(self, message: CoapMessage, peer: Any) -> None:
        self.endpoint.send(message, peer, self._now())
        self._advance()

    def _advance(self) -> None:
        for event in self.endpoint.events():
            assert isinstance(event, MessageReceived)
            self._received(self, event.message, event.peer)
        for data, peer in self.endpoint.drain():
            self._transport.sendto(data, peer)
        self._stop_timer()
        due = self.endpoint.next_timeout()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._handle_timeout)

    def _handle_timeout(self) -> None:
        self.endpoint.handle_timeout(self._now())
        self._advance()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class OscoreServer:
    """Answers requests that open, in the context alone; a challenge where the window was lost."""

    def __init__(self, context: SecurityContext, answer: Callable[[CoapMessage], CoapMessage]) -> None:
        self.requests: list[CoapMessage] = []
        self.exchange: Exchange | None = None
        self._context = context
        self._gate = EchoGate(context, secrets.token_bytes)
        self._answer = answer

    def received(self, udp: UdpEndpoint, outer: CoapMessage, peer: Any) -> None:
        opened = self._gate.unprotect_request(outer)
        if isinstance(opened, Challenge):
            udp.send(opened.outer, peer)
            return
        self.requests.append(opened.message)
        self.exchange, self.peer = opened.exchange, peer
        udp.send(self._context.protect_response(self._answer(opened.message), opened.exchange), peer)

    def notify(self, udp: UdpEndpoint, message: CoapMessage) -> None:
        assert self.exchange is not None
        udp.send(self._context.protect_response(message, self.exchange), self.peer)


class OscoreClient:
    """Sends requests in a context, and waits for what comes back to each."""

    def __init__(self, context: SecurityContext, peer: Any) -> None:
        self._context = context
        self._peer = peer
        self._exchanges: dict[bytes, Exchange] = {}
        self._responses: dict[bytes, asyncio.Queue[CoapMessage]] = {}

    def received(self, udp: UdpEndpoint, outer: CoapMessage, peer: Any) -> None:
        message = self._context.unprotect_response(outer, self._exchanges[outer.token])
        self._responses[outer.token].put_nowait(message)

    async def request(self, udp: UdpEndpoint, message: CoapMessage) -> CoapMessage:
        """The first response, after a challenge if there is one."""
        self._responses[message.token] = asyncio.Queue()
        self._send(udp, message)
        response = await self.response(message.token)
        again = with_echo(message, response)
        if again is None:
            return response
        self._send(udp, again)
        return await self.response(message.token)

    def _send(self, udp: UdpEndpoint, message: CoapMessage) -> None:
        outer, self._exchanges[message.token] = self._context.protect_request(message)
        udp.send(outer, self._peer)

    async def response(self, token: bytes) -> CoapMessage:
        """The next response to a request, or the next notification."""
        return await asyncio.wait_for(self._responses[token].get(), 10)
