"""The device on its local network: the channel over UDP, and mDNS for who looks for it. Off unless asked for.

Whoever is on the network may knock. Nothing is answered but handshakes and what a channel protects, and no answer to
a stranger is larger than the question by more than a few bytes, but for the hints where to have a token, which are
given once a second at most. Strangers get half of the time at most: what they
send beyond that is dropped, so that a flood of handshakes leaves time for who has a channel.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from admittance.device.channel.conversation import Conversation
from admittance.device.channel.conversations import Conversations
from admittance.device.local.mdns import Mdns
from admittance.device.local.responder import MdnsResponder
from admittance.device.log import Log
from admittance.errors import ConfigurationError, Malformed
from admittance.protocol.channel.handshake import ADMISSIONS_PATH, EDHOC_PATH
from admittance.protocol.coap.reliability import DatagramEndpoint, DeliveryFailed, MessageReceived
from admittance.wire.access import AUTHZ_INFO_PATH
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import CloseReason

MAX_PEERS: Final = 32
STRANGERS_SHARE: Final = 0.5
STRANGERS_AT_ONCE_S: Final = 0.5

Address: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An IPv4 address of the machine, and a port of UDP (0: any)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "LocalAddress":
        """``ADDRESS:PORT``. Raises `ConfigurationError`."""
        host, _, port = text.rpartition(":")
        try:
            packed = socket.inet_pton(socket.AF_INET, host)
            number = int(port)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{text} is not an IPv4 address and a port, such as 192.168.1.7:5683."
            ) from error
        if packed == bytes(4) or not 0 <= number <= 65535:
            raise ConfigurationError("Name one address of this machine: others are told to come there.")
        return cls(host, number)


class Share:
    """A share of the time: so many seconds for each that passes, and `at_once_s` beforehand."""

    def __init__(self, share: float, at_once_s: float) -> None:
        self._share = share
        self._at_once_s = self._left_s = at_once_s
        self._at = float("-inf")

    def has_some(self, now: float) -> bool:
        """Whether any of it is left."""
        self._left_s = min(self._at_once_s, self._left_s + (now - self._at) * self._share)
        self._at = now
        return self._left_s > 0

    def spend(self, time_s: float) -> None:
        self._left_s -= time_s


class LocalNetwork:
    """See the module. `open` it once, and `close` it."""

    def __init__(
        self,
        address: LocalAddress,
        device_id: str,
        conversations: Conversations,
        random: Callable[[int], bytes],
        log: Log,
    ) -> None:
        self._address = address
        self._device_id = device_id
        self._conversations = conversations
        self._log = log
        self._endpoint = DatagramEndpoint(random)
        self._peers: dict[Address, Conversation] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mdns: Mdns | None = None
        self._for_strangers = Share(STRANGERS_SHARE, STRANGERS_AT_ONCE_S)

    async def open(self) -> None:
        """Listen, and answer mDNS if the machine lets us. Raises `ConfigurationError` for a wrong address."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Receiver(self._receive), local_addr=(self._address.host, self._address.port)
            )
        except OSError as error:
            raise ConfigurationError(
                f"{self._address.host}:{self._address.port} cannot be used: {error.strerror}."
            ) from error
        self._transport = transport
        port = transport.get_extra_info("sockname")[1]
        self._log("local_opened", address=self._address.host, port=port)
        responder = MdnsResponder(self._device_id, self._address.host, port)
        try:
            self._mdns = await Mdns.open(self._address.host, responder, loop.time)
        except OSError as error:
            self._log("mdns_failed", cause=error.strerror)

    async def close(self) -> None:
        """End every conversation, and say goodbye."""
        for conversation in tuple(self._peers.values()):
            conversation.lost()
        self._peers.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._mdns is not None:
            await self._mdns.close()
        if self._transport is not None:
            self._transport.close()

    def send(self, message: CoapMessage, peer: Address) -> None:
        self._endpoint.send(message, peer, self._conversations.monotonic())
        self._settle()

    def forget(self, peer: Address) -> None:
        """The conversation with this peer is over."""
        self._peers.pop(peer, None)
        self._flush()
        self._endpoint.forget(peer)

    def _receive(self, data: bytes, peer: Address) -> None:
        now = self._conversations.monotonic()
        known = self._peers.get(peer)
        is_stranger = known is None or known.holder is None
        if is_stranger and not self._for_strangers.has_some(now):
            return
        self._endpoint.receive(data, peer, now)
        self._settle()
        if is_stranger:
            self._for_strangers.spend(self._conversations.monotonic() - now)

    def _settle(self) -> None:
        while events := self._endpoint.events():
            for event in events:
                match event:
                    case MessageReceived(message=message, peer=(str() as host, int() as port)):
                        self._take(message, (host, port))
                    case DeliveryFailed(peer=(str() as host, int() as port)):
                        self._lose((host, port))
        self._flush()
        self._arm()

    def _take(self, message: CoapMessage, peer: Address) -> None:
        conversation = self._peers.pop(peer, None) or self._begin(message, peer)
        if conversation is None:
            if codes.is_request(message.code):
                refused = self._conversations.turned_away(message)
                self._endpoint.send(refused, peer, self._conversations.monotonic())
            return
        self._peers[peer] = conversation
        conversation.receive(message)

    def _begin(self, message: CoapMessage, peer: Address) -> Conversation | None:
        """A conversation with a stranger who knocks as one must; the one least in use makes room."""
        if not _knocks(message):
            return None
        if len(self._peers) >= MAX_PEERS:
            self._make_room()
        return self._conversations.with_app(_Peer(self, peer), peer, datagrams=True)

    def _make_room(self) -> None:
        unproven = (peer for peer, conversation in self._peers.items() if conversation.holder is None)
        self._lose(next(unproven, next(iter(self._peers))))

    def _lose(self, peer: Address) -> None:
        conversation = self._peers.pop(peer, None)
        if conversation is not None:
            conversation.lost()
        self._endpoint.forget(peer)

    def _flush(self) -> None:
        for data, peer in self._endpoint.drain():
            if isinstance(peer, tuple) and self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(data, peer)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._endpoint.next_timeout()
        if due is not None:
            delay_s = max(0.0, due - self._conversations.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._time_passed)

    def _time_passed(self) -> None:
        self._endpoint.handle_timeout(self._conversations.monotonic())
        self._settle()


class _Peer:
    """A peer as the carrier of a conversation."""

    def __init__(self, network: LocalNetwork, peer: Address) -> None:
        self._network = network
        self._peer = peer

    def send(self, message: CoapMessage) -> None:
        self._network.send(message, self._peer)

    def close(self, _reason: CloseReason) -> None:
        self._network.forget(self._peer)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Address], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        self._receive(data, (str(address[0]), address[1]))


def _knocks(message: CoapMessage) -> bool:
    try:
        return message.code == codes.POST and message.path in (EDHOC_PATH, ADMISSIONS_PATH, AUTHZ_INFO_PATH)
    except Malformed:
        return False
