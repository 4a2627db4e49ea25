"""All conversations of a device: with apps, over the relay and on the local network, and with its server."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from admittance.device.channel.conversation import Carrier, Conversation
from admittance.device.clock import TrustedClock
from admittance.device.log import Log
from admittance.device.resources.dispatch import Dispatcher
from admittance.device.state import Memory
from admittance.errors import ChannelLost, NotFound, Refused, Unavailable
from admittance.protocol.access.authz_info import Possessors, hint
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey, Responder
from admittance.protocol.channel.half_open import HalfOpen
from admittance.wire.access import GrantedKey, Holder
from admittance.wire.channel import Entry
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import CloseReason

MAX_CONVERSATIONS: Final = 96
ASK_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Identity:
    """Who the device is on a channel."""

    device_id: str
    key: ChannelKey


class Conversations:
    """Opens them, and ends those whose credential is no longer listed, or whose possession key is over.

    What nobody has proven is bounded over all of them. What the list and the keys are follows from the memory alone.
    """

    def __init__(
        self,
        identity: Identity,
        memory: Memory,
        clock: TrustedClock,
        dispatcher: Dispatcher,
        possessors: Possessors,
        random: Callable[[int], bytes],
        log: Log,
    ) -> None:
        self._identity = identity
        self._memory = memory
        self._clock = clock
        self.dispatcher = dispatcher
        self._possessors = possessors
        self._random = random
        self._log = log
        self._half_open: HalfOpen[Responder[Entry]] = HalfOpen()
        self._open: dict[Conversation, None] = {}
        self._server: Conversation | None = None
        self._server_established = asyncio.Event()
        self._seen = memory.record

    def __len__(self) -> int:
        return len(self._open)

    @property
    def server_is_known(self) -> bool:
        """Whether the server proved its key on stream 0."""
        return self._server_established.is_set()

    def with_app(self, carrier: Carrier, peer: Hashable, *, datagrams: bool = False) -> Conversation | None:
        """The conversation of an app at the other end of `carrier`; None where no more are taken.

        `peer` tells carriers apart; `datagrams` that this one is UDP. Where there are too many, the oldest that has
        proven nothing gives way: strangers can hold no place for long.
        """
        if len(self._open) >= MAX_CONVERSATIONS and not self._make_room():
            return None
        conversation = self._begin(carrier, peer, self._find_app, self._admit, self._possessors, datagrams)
        conversation.limit_handshake()
        return conversation

    def with_server(self, carrier: Carrier) -> Conversation:
        """The conversation of the server at the other end of `carrier`, in place of the one before."""
        if self._server is not None:
            self._server.lost()
        self._server_established.clear()
        self._server = self._begin(carrier, "server", self._find_server, None, None, datagrams=False)
        return self._server

    async def ask_server(self, message: CoapMessage) -> CoapMessage:
        """The server's answer, once it opened its channel. Raises `Unavailable` and `Refused`."""
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self.server_known()
        except TimeoutError as error:
            raise Unavailable("The server has opened no channel to this device.") from error
        if self._server is None:
            raise ChannelLost("The connection to the server was lost.")
        return await self._server.request(message, ASK_TIMEOUT_S)

    async def server_known(self) -> None:
        """Wait until the server proved its key."""
        await self._server_established.wait()

    def changed(self, path: str) -> None:
        """Tell who observes `path` what it is now."""
        for conversation in tuple(self._open):
            conversation.changed(path)

    def settled(self) -> None:
        """End every conversation whose credential is no longer listed or whose key is over, if there were changes
        since the last call."""
        seen, self._seen = self._seen, self._memory.record
        kept = ("credentials", "access", "offline")
        if all(getattr(seen, name) is getattr(self._seen, name) for name in kept):
            return
        for conversation in tuple(self._open):
            if not conversation.is_standing:
                conversation.end(CloseReason.REVOKED)

    def end_all(self) -> None:
        """End every conversation: the device starts another life."""
        for conversation in tuple(self._open):
            conversation.end(CloseReason.REVOKED)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def turned_away(self, request: CoapMessage) -> CoapMessage:
        """The answer to a stranger's request that opens nothing."""
        return hint(self._possessors, request, self._clock.monotonic())

    def standing(self, holder: Holder) -> Holder | None:
        try:
            if isinstance(holder, GrantedKey):
                return self._possessors.standing(holder)
            listed = self._find(holder.kid)
        except Refused:
            return None
        return listed if listed.role == holder.role else None

    def established(self, conversation: Conversation) -> None:
        holder = conversation.holder
        if holder is not None:
            self._log("channel_established", role=holder.role, kid=holder.kid.hex())
        if isinstance(holder, GrantedKey):
            self._end_older(holder, conversation)
        if conversation is self._server:
            self._server_established.set()

    def ended(self, conversation: Conversation) -> None:
        self._open.pop(conversation, None)
        if conversation is self._server:
            self._server = None
            self._server_established.clear()

    def _end_older(self, key: GrantedKey, newest: Conversation) -> None:
        """A possession key has one conversation (RFC 9203, section 6)."""
        for conversation in tuple(self._open):
            held = conversation.holder
            if conversation is not newest and isinstance(held, GrantedKey) and held.token == key.token:
                conversation.end(CloseReason.SUPERSEDED)

    def _make_room(self) -> bool:
        for conversation in self._open:
            if conversation.holder is None and conversation is not self._server:
                conversation.end(CloseReason.QUOTA)
                return True
        return False

    def _begin(
        self,
        carrier: Carrier,
        peer: Hashable,
        find: Callable[[bytes], Entry],
        admit: Callable[[bytes], None] | None,
        possessors: Possessors | None,
        datagrams: bool,
    ) -> Conversation:
        channel = Channel.responder(
            self._identity.key,
            find,
            random=self._random,
            admit=admit,
            half_open=self._half_open,
            possessors=possessors,
            peer=peer,
            datagrams=datagrams,
        )
        conversation = Conversation(channel, carrier, self)
        self._open[conversation] = None
        return conversation

    def _find(self, kid: bytes) -> Entry:
        record = self._memory.record
        return record.credentials.find(kid, epoch=record.epoch, now=int(self._clock.now()))

    def _find_app(self, kid: bytes) -> Entry:
        """Raises `NotFound`, or another `Refused`."""
        entry = self._find(kid)
        if entry.role == "server":
            raise NotFound("The server talks on a stream of its own.")
        return entry

    def _find_server(self, kid: bytes) -> Entry:
        entry = self._find(kid)
        if entry.role != "server":
            raise NotFound("Only the server talks on its stream.")
        return entry

    def _admit(self, data: bytes) -> None:
        """Take an admission that an owner countersigned. Raises `Refused` or `Malformed`."""
        listed = self._memory.record.credentials
        admitted = listed.admit(data, device_id=self._identity.device_id, now=int(self._clock.now()))
        if admitted is not listed:
            self._memory.change(credentials=admitted)
            self._log("guest_admitted", guests=sum(entry.role == "guest" for entry in admitted.entries))
