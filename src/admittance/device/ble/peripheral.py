"""The device over Bluetooth Low Energy: the channel over one GATT service. Off unless asked for.

Whoever is in range may connect, and pairing gives nothing: what protects is the channel. A connection that proves
nothing in 10 s ends, so that strangers hold no place for long.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from bumble.att import ATT_UNLIKELY_ERROR_ERROR, ATT_Error, Attribute
from bumble.core import AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

from admittance.device.channel.conversation import Conversation
from admittance.device.channel.conversations import Conversations
from admittance.device.log import Log
from admittance.errors import Malformed, QuotaExceeded, Unavailable
from admittance.protocol.channel.chunked import ChunkedMessages
from admittance.transport.ble import controller
from admittance.wire.coap.message import CoapMessage
from admittance.wire.gatt import FROM_DEVICE, MIN_ATT_MTU, SERVICE, TO_DEVICE
from admittance.wire.relay import CloseReason

MAX_PEERS: Final = 3
MAX_WAITING_CHUNKS: Final = 512
ADVERTISING_MS: Final = 100.0
RETRY_S: Final = 5.0

_LE_GENERAL_DISCOVERABLE: Final = b"\x06"
"""LE General Discoverable Mode, BR/EDR not supported (Core Specification Supplement, part A, section 1.3)."""


class BlePeripheral:
    """See the module. `run` it until cancelled; `name` is bumble's of the controller."""

    def __init__(self, name: str, device_id: str, conversations: Conversations, log: Log) -> None:
        self._name = name
        self._device_id = device_id
        self._conversations = conversations
        self._log = log
        self._peers: dict[int, _Peer] = {}
        self._news = asyncio.Event()
        self._controller_is_gone = False

    async def run(self) -> None:
        """Be in range. A controller that is not there, or goes, is tried again."""
        while True:
            try:
                async with controller(self._name, self._device_id) as device:
                    await self._serve(device)
            except (Unavailable, BaseBumbleError) as error:
                self._log("ble_failed", cause=str(error))
            finally:
                for handle in tuple(self._peers):
                    self._lose(handle)
            await asyncio.sleep(RETRY_S)

    async def _serve(self, device: Device) -> None:
        """Answer until the controller is gone."""
        from_device = Characteristic[bytes](FROM_DEVICE, Characteristic.NOTIFY, Attribute.READABLE, b"")
        to_device = Characteristic[bytes](
            TO_DEVICE, Characteristic.WRITE, Attribute.WRITEABLE, CharacteristicValue(write=self._written)
        )
        device.add_service(Service(SERVICE, [to_device, from_device]))
        device.on(Device.EVENT_CONNECTION, lambda connection: self._connected(device, connection, from_device))
        device.on(Device.EVENT_FLUSH, self._gone)
        self._controller_is_gone = False
        self._log("ble_opened", controller=self._name)
        while not self._controller_is_gone:
            self._news.clear()
            if len(self._peers) < MAX_PEERS and not device.is_advertising:
                await device.start_advertising(
                    advertising_data=_advertisement(self._device_id),
                    advertising_interval_min=ADVERTISING_MS,
                    advertising_interval_max=ADVERTISING_MS,
                )
            await self._news.wait()
        raise Unavailable("The Bluetooth controller is gone.")

    def _gone(self) -> None:
        self._controller_is_gone = True
        self._news.set()

    def _connected(self, device: Device, connection: Connection, characteristic: Characteristic[bytes]) -> None:
        handle = connection.handle
        peer = _Peer(device, connection, characteristic)
        conversation = self._conversations.with_app(peer, ("ble", handle))
        connection.on(Connection.EVENT_DISCONNECTION, lambda _reason: self._lose(handle))
        if conversation is None:
            peer.close(CloseReason.QUOTA)
        else:
            peer.conversation = conversation
        self._peers[handle] = peer
        self._news.set()

    def _lose(self, handle: int) -> None:
        peer = self._peers.pop(handle, None)
        if peer is not None:
            peer.lost()
        self._news.set()

    async def _written(self, connection: Connection, data: bytes) -> None:
        peer = self._peers.get(connection.handle)
        if peer is None:
            raise ATT_Error(ATT_UNLIKELY_ERROR_ERROR)
        peer.receive(data)


class _Peer:
    """One connection as the carrier of a conversation."""

    def __init__(self, device: Device, connection: Connection, characteristic: Characteristic[bytes]) -> None:
        self._device = device
        self._connection = connection
        self._characteristic = characteristic
        self._messages = ChunkedMessages()
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._is_closing = False
        self._sending = asyncio.create_task(self._run())
        self.conversation: Conversation | None = None

    def receive(self, data: bytes) -> None:
        """Take a chunk. One that is none of ours ends the connection, and raises `ATT_Error`."""
        try:
            message = self._messages.receive(data)
        except Malformed as error:
            if self.conversation is not None:
                self.conversation.end(CloseReason.PROTOCOL)
            raise ATT_Error(ATT_UNLIKELY_ERROR_ERROR) from error
        if message is not None and self.conversation is not None:
            self.conversation.receive(message)

    def send(self, message: CoapMessage) -> None:
        chunks = self._messages.split(message)
        if len(self._waiting) + len(chunks) > MAX_WAITING_CHUNKS:
            raise QuotaExceeded("Too much waits for this connection.")
        self._waiting.extend(chunks)
        self._news.set()

    def close(self, _reason: CloseReason) -> None:
        """End the connection, once what waits has gone out."""
        self._is_closing = True
        self._news.set()

    def lost(self) -> None:
        """The connection is gone."""
        self._sending.cancel()
        if self.conversation is not None:
            self.conversation.lost()

    async def _run(self) -> None:
        with suppress(BaseBumbleError):
            await self._send_waiting()
            await self._connection.disconnect()

    async def _send_waiting(self) -> None:
        """Send what waits, as fast as the other side takes it, until the connection is to end."""
        while self._waiting or not self._is_closing:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            if self._connection.att_mtu < MIN_ATT_MTU:
                break
            await self._device.notify_subscriber(self._connection, self._characteristic, self._waiting.popleft())
            await self._connection.drain()


def _advertisement(device_id: str) -> bytes:
    return bytes(
        AdvertisingData(
            [
                (AdvertisingData.FLAGS, _LE_GENERAL_DISCOVERABLE),
                (AdvertisingData.COMPLETE_LOCAL_NAME, device_id.encode()),
            ]
        )
    )
