"""The way over Bluetooth Low Energy: CoAP messages in chunks, to a device that is in range.

Import this only where Bluetooth is used; it needs the extra ``ble``.
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Final

from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.hci import Address

from admittance.client.channel.link import Link
from admittance.errors import AdmittanceError, ChannelLost, DeviceOffline, Malformed, Unavailable
from admittance.protocol.channel.chunked import ChunkedMessages
from admittance.transport.ble import controller
from admittance.wire.coap.message import CoapMessage
from admittance.wire.gatt import ATT_MTU, FROM_DEVICE, MIN_ATT_MTU, SERVICE, TO_DEVICE

SCAN_S: Final = 15.0
CONNECT_S: Final = 15.0
MAX_WAITING_MESSAGES: Final = 256


class BleLink:
    """One connection to one device. Made by `BleWay`."""

    datagrams: Final = False

    def __init__(self, connection: Connection, to_device: CharacteristicProxy[bytes]) -> None:
        self._connection = connection
        self._to_device = to_device
        self._resources = AsyncExitStack()
        self._messages = ChunkedMessages()
        self._turn = asyncio.Lock()
        self._received: asyncio.Queue[CoapMessage | AdmittanceError] = asyncio.Queue(MAX_WAITING_MESSAGES)
        self._ended: AdmittanceError | None = None
        connection.on(Connection.EVENT_DISCONNECTION, lambda _reason: self._end(_lost()))

    def keep(self, resources: AsyncExitStack) -> None:
        """What is to be released when the link ends."""
        self._resources = resources

    async def send(self, message: CoapMessage) -> None:
        async with self._turn:
            for chunk in self._messages.split(message):
                await self._write(chunk)

    async def receive(self) -> CoapMessage:
        if self._ended is not None and self._received.empty():
            raise self._ended
        received = await self._received.get()
        if isinstance(received, AdmittanceError):
            raise received
        return received

    async def close(self) -> None:
        if self._ended is None:
            self._end(ChannelLost("The channel was closed."))
            with suppress(BaseBumbleError):
                await self._connection.disconnect()
        await self._resources.aclose()

    def notified(self, data: bytes) -> None:
        """Take a chunk of the device's."""
        try:
            message = self._messages.receive(data)
        except Malformed:
            self._end(ChannelLost("The device sent over Bluetooth what is no message."))
            return
        if message is None:
            return
        if self._received.full():
            self._end(ChannelLost("The device sends faster over Bluetooth than this app takes it."))
        else:
            self._received.put_nowait(message)

    async def _write(self, chunk: bytes) -> None:
        if self._ended is not None:
            raise self._ended
        try:
            await self._to_device.write_value(chunk, with_response=True)
        except BaseBumbleError as error:
            self._end(_lost())
            raise self._ended or _lost() from error
        except asyncio.CancelledError:
            # bumble cancels a write whose connection ends.
            if self._ended is not None:
                raise self._ended from None
            raise

    def _end(self, error: AdmittanceError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if self._received.full():
            self._received.get_nowait()
        self._received.put_nowait(error)


class BleWay:
    """Opens links to a device in range, by the controller that bumble calls `name`."""

    def __init__(self, device_id: str, name: str) -> None:
        self._device_id = device_id
        self._name = name

    async def open(self) -> Link:
        """Raises `DeviceOffline` when the device is not in range, `Unavailable` or `ConfigurationError` without a
        controller."""
        async with AsyncExitStack() as resources:
            own = await resources.enter_async_context(controller(self._name, "app"))
            address = await self._find(own)
            try:
                async with asyncio.timeout(CONNECT_S):
                    link = await self._connect(own, address)
            except (BaseBumbleError, TimeoutError) as error:
                raise Unavailable(f"{self._device_id} is in range, and takes no connection now.") from error
            link.keep(resources.pop_all())
            return link

    async def _find(self, own: Device) -> Address:
        found: asyncio.Future[Address] = asyncio.get_running_loop().create_future()

        def heard(advertisement: Advertisement) -> None:
            name = advertisement.data.get(AdvertisingData.COMPLETE_LOCAL_NAME, raw=True)
            if name == self._device_id.encode() and not found.done():
                found.set_result(advertisement.address)

        own.on(Device.EVENT_ADVERTISEMENT, heard)
        await own.start_scanning(filter_duplicates=True)
        try:
            async with asyncio.timeout(SCAN_S):
                return await found
        except TimeoutError as error:
            raise DeviceOffline(f"{self._device_id} is not in range of this computer's Bluetooth.") from error
        finally:
            await own.stop_scanning()

    async def _connect(self, own: Device, address: Address) -> BleLink:
        connection = await own.connect_le(address)
        peer = Peer(connection)
        if await peer.request_mtu(ATT_MTU) < MIN_ATT_MTU:
            raise Unavailable(f"{self._device_id} takes too little at a time over Bluetooth.")
        to_device, from_device = await _characteristics(peer)
        link = BleLink(connection, to_device)
        await peer.subscribe(from_device, link.notified)
        return link


async def _characteristics(peer: Peer) -> tuple[CharacteristicProxy[bytes], CharacteristicProxy[bytes]]:
    """What is written, and what notifies."""
    for service in await peer.discover_service(UUID(SERVICE)):
        found = {
            characteristic.uuid: characteristic
            for characteristic in await peer.discover_characteristics(service=service)
        }
        if UUID(TO_DEVICE) in found and UUID(FROM_DEVICE) in found:
            return found[UUID(TO_DEVICE)], found[UUID(FROM_DEVICE)]
    raise Unavailable("What answers over Bluetooth is no device of ours.")


def _lost() -> ChannelLost:
    return ChannelLost("The Bluetooth connection was lost.")
