"""The way through the local network: CoAP over UDP to a device that multicast DNS found (RFC 6762, 6763)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

from admittance.client.channel.link import Link
from admittance.errors import AdmittanceError, ChannelLost, DeviceOffline, Unreachable
from admittance.protocol.coap.reliability import DatagramEndpoint, DeliveryFailed, MessageReceived
from admittance.wire.coap.message import CoapMessage

Address: TypeAlias = tuple[str, int]
Find: TypeAlias = Callable[[str], Awaitable[Address]]

MAX_WAITING_MESSAGES: Final = 256


class LocalLink(asyncio.DatagramProtocol):
    """One UDP socket that is connected to one device."""

    datagrams: Final = True

    def __init__(self, device_id: str, address: Address) -> None:
        self._device_id = device_id
        self._peer = address
        self._loop = asyncio.get_running_loop()
        self._endpoint = DatagramEndpoint(os.urandom)
        self._transport: asyncio.DatagramTransport | None = None
        self._received: asyncio.Queue[CoapMessage | AdmittanceError] = asyncio.Queue(MAX_WAITING_MESSAGES)
        self._timer: asyncio.TimerHandle | None = None
        self._ended: AdmittanceError | None = None

    @classmethod
    async def open(cls, device_id: str, address: Address) -> "LocalLink":
        """Raises `Unreachable` when this machine has no way to `address`."""
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_datagram_endpoint(lambda: cls(device_id, address), remote_addr=address)
        except OSError as error:
            raise Unreachable(f"This computer has no way to {address[0]}.") from error
        return link

    async def send(self, message: CoapMessage) -> None:
        if self._ended is not None:
            raise self._ended
        self._endpoint.send(message, self._peer, self._loop.time())
        self._flush()

    async def receive(self) -> CoapMessage:
        if self._ended is not None and self._received.empty():
            raise self._ended
        received = await self._received.get()
        if isinstance(received, AdmittanceError):
            raise received
        return received

    async def close(self) -> None:
        self._end(ChannelLost("The channel was closed."))
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._endpoint.receive(data, self._peer, self._loop.time())
        self._flush()

    def error_received(self, exc: Exception) -> None:
        """The device's host says that nobody listens, or is not there."""
        self._end(_offline(self._device_id))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ChannelLost("The local network is gone."))

    def _flush(self) -> None:
        """Send and deliver what the message layer has, and wake it when it wants."""
        for event in self._endpoint.events():
            match event:
                case MessageReceived(message, _):
                    # A full queue drops the message, as the network may.
                    if not self._received.full():
                        self._received.put_nowait(message)
                case DeliveryFailed():
                    self._end(_offline(self._device_id))
        if self._transport is None or self._ended is not None:
            return
        for data, _ in self._endpoint.drain():
            self._transport.sendto(data)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._endpoint.next_timeout()
        self._timer = None if due is None else self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._endpoint.handle_timeout(self._loop.time())
        self._flush()

    def _end(self, error: AdmittanceError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if self._timer is not None:
            self._timer.cancel()
        if self._received.full():
            self._received.get_nowait()
        self._received.put_nowait(error)


class LocalWay:
    """Opens links to a device in the network of this machine; `find` tells its address."""

    def __init__(self, device_id: str, find: Find) -> None:
        self._device_id = device_id
        self._find = find

    async def open(self) -> Link:
        """Raises `DeviceOffline` when nothing answers for the device, `Unreachable`."""
        return await LocalLink.open(self._device_id, await self._find(self._device_id))


def _offline(device_id: str) -> DeviceOffline:
    return DeviceOffline(f"{device_id} does not answer in the local network. Is it on, and in this network?")
