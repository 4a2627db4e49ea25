"""The server's own conversations with devices: one on stream 0 of each connected device, opened when it is needed.

A request may come from any node: presence tells which one holds the device, and the bus brings it there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from admittance.errors import AdmittanceError, Conflict, DeviceOffline, Misuse, NotFound
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.server.bus.port import Bus
from admittance.server.conversation import calls, store
from admittance.server.conversation.conversation import Conversation
from admittance.server.conversation.resources import ConversingDevice, Resources, answer
from admittance.server.database import Database
from admittance.server.relay.ports import Need, Stream
from admittance.server.relay.presence import find_node
from admittance.wire import message
from admittance.wire.channel import Credential
from admittance.wire.coap import codes, stream
from admittance.wire.coap.formats import CBOR
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, encode_uint, path_options
from admittance.wire.readings import ENDED_PATH, EndedNotice

OPEN_WITHIN_S = 1.0
"""Channels for readings open by chance within this time, so that devices that return together don't all at once."""

SETTLE_S = 5.0
TELL_ENDED_S = 1.0
MAX_TIMEOUT_S = 60.0

log = structlog.stdlib.get_logger(__name__)


class ConversationService:
    """`key` is the server's channel key; `wants_readings` tells whether a device's owner agreed to any.

    `on_attached` hears of each device that has connected, with its epoch; it is put in before `start`.
    """

    def __init__(
        self,
        *,
        node_id: str,
        database: Database,
        bus: Bus,
        key: ChannelKey,
        resources: Resources,
        wants_readings: Callable[[str], Awaitable[bool]],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._node_id = node_id
        self._database = database
        self._bus = bus
        self._key = key
        self._resources = resources
        self._wants_readings = wants_readings
        self._randomness = randomness
        self.on_attached: Callable[[str, int], Awaitable[None]] = _nothing_to_say
        self._here: dict[str, Conversation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer other nodes. The bus must have been started."""
        await self._bus.serve(calls.subject(self._node_id), self._called)
        await self._bus.subscribe(calls.WAKE, self._woken)

    async def close(self) -> None:
        """End what runs for conversations; their streams are the node's to end."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def attach(
        self, device_id: str, epoch: int, stream: Stream, *, need: Need, settled: Callable[[bool], None]
    ) -> Conversation:
        """As `relay.ports.Conversations` has it."""
        conversation = Conversation(
            ConversingDevice(device_id, epoch),
            stream,
            open_channel=self._open_channel,
            answer=self._answer,
            spawn=self._spawn,
            on_closed=self._detach,
        )
        if need == "notice":
            self._spawn(self._settle(conversation, self._say_ended(conversation, SETTLE_S), settled))
            return conversation
        self._here[device_id] = conversation
        if need == "proof":
            self._spawn(self._settle(conversation, conversation.establish(SETTLE_S), settled))
        self._spawn(self._keep_if_wanted(conversation))
        self._spawn(self.on_attached(device_id, epoch))
        return conversation

    def tell_ended(self, device_id: str, settled: Callable[[bool], None]) -> None:
        """As `relay.ports.Conversations` has it."""
        conversation = self._here.get(device_id)
        if conversation is None:
            asyncio.get_running_loop().call_soon(settled, False)
            return
        self._spawn(self._settle(conversation, self._say_ended(conversation, TELL_ENDED_S), settled))

    async def request(self, device_id: str, request: CoapMessage, timeout_s: float) -> CoapMessage:
        """Ask a device, wherever it is connected; carried out at most once. `timeout_s` is at most 60.

        Raises `DeviceOffline`, `ChannelLost` when it may have been carried out, or `Unavailable`.
        """
        if not 0 < timeout_s <= MAX_TIMEOUT_S:
            raise Misuse(f"a request to a device takes at most {MAX_TIMEOUT_S:.0f} s")
        conversation = self._here.get(device_id)
        if conversation is not None:
            return await conversation.request(request, timeout_s)
        async with self._database.read() as connection:
            node_id = await find_node(connection, device_id)
        if node_id is None or node_id == self._node_id:
            raise DeviceOffline("The device is not connected.")
        call = calls.Call(device_id, int(timeout_s * 1000), stream.encode(request))
        data = await self._bus.request(calls.subject(node_id), message.encode(call), timeout_s + 1)
        return stream.decode(calls.response_of(data))

    async def _called(self, data: bytes) -> bytes:
        try:
            call = message.decode(data, calls.Call, max_bytes=calls.MAX_CALL_BYTES)
            conversation = self._here.get(call.device_id)
            if conversation is None:
                raise DeviceOffline("The device is not connected here.")
            timeout_s = min(call.timeout_ms / 1000, MAX_TIMEOUT_S)
            response = await conversation.request(stream.decode(call.request), timeout_s)
        except AdmittanceError as error:
            return calls.failed(error)
        return message.encode(calls.Returned(stream.encode(response), ""))

    def _woken(self, data: bytes) -> None:
        conversation = self._here.get(data.decode("ascii", "replace"))
        if conversation is not None:
            conversation.keep()

    def _detach(self, conversation: Conversation) -> None:
        if self._here.get(conversation.device.device_id) is conversation:
            del self._here[conversation.device.device_id]

    async def _answer(self, device: ConversingDevice, request: CoapMessage) -> CoapMessage:
        return await answer(self._resources, device, request)

    async def _open_channel(self, device: ConversingDevice) -> Channel:
        async with self._database.read() as connection:
            spki = await store.channel_spki(connection, device.device_id)
        if spki is None:
            raise NotFound("This device has told no channel key.")
        return Channel.initiator(self._key, Credential.from_spki(spki), random=self._randomness)

    async def _keep_if_wanted(self, conversation: Conversation) -> None:
        if await self._wants_readings(conversation.device.device_id):
            conversation.keep(OPEN_WITHIN_S * int.from_bytes(self._randomness(2)) / 2**16)

    async def _say_ended(self, conversation: Conversation, timeout_s: float) -> None:
        """Tell the device to forget what its epoch gave. Raises `Conflict` if that has not ended."""
        device = conversation.device
        async with self._database.read() as connection:
            if not await store.has_ended(connection, device.device_id, device.epoch):
                raise Conflict("This device's certificate has ended, and its owner's epoch has not.")
        notice = CoapMessage(
            codes.POST,
            options=(*path_options(ENDED_PATH), (CONTENT_FORMAT, encode_uint(CBOR))),
            payload=message.encode(EndedNotice(device.epoch)),
        )
        response = await conversation.request(notice, timeout_s)
        log.info("device_told_ended", device_id=device.device_id, code=codes.text(response.code))

    async def _settle(
        self, conversation: Conversation, work: Awaitable[None], settled: Callable[[bool], None]
    ) -> None:
        try:
            await work
        except AdmittanceError as error:
            log.info("conversation_not_settled", device_id=conversation.device.device_id, error=error.code)
            is_settled = False
        else:
            is_settled = True
        if conversation.is_open:
            settled(is_settled)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _nothing_to_say(_device_id: str, _epoch: int) -> None:
    pass


async def _logged(work: Awaitable[Any]) -> None:
    try:
        await work
    except AdmittanceError as error:
        log.warning("conversation_failed", error=error.code)
    except Exception as error:
        log.error("conversation_failed", exc_info=error)
