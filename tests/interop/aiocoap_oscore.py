"""aiocoap's side of a security context: the same inputs as ours, its own code."""

from typing import Any

from aiocoap import Message, oscore
from aiocoap.message import Direction

from admittance.wire.coap import datagram
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage

ALGORITHMS = {"AES-CCM-16-64-128": oscore.AES_CCM_16_64_128(), "A128GCM": oscore.A128GCM()}


class PeerContext(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """A security context of aiocoap's that lives in memory."""

    def __init__(
        self,
        master_secret: bytes,
        *,
        sender_id: bytes,
        recipient_id: bytes,
        master_salt: bytes = b"",
        id_context: bytes | None = None,
        algorithm: str = "AES-CCM-16-64-128",
        first: int = 0,
    ) -> None:
        self.alg_aead = ALGORITHMS[algorithm]
        self.hashfun = oscore.hashfunctions["sha256"]
        self.sender_id, self.recipient_id, self.id_context = sender_id, recipient_id, id_context
        self.derive_keys(master_salt, master_secret)
        self.sender_sequence_number = first
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()
        self.echo_recovery: bytes | None = None

    def lose_window(self, echo: bytes) -> None:
        """As after a restart: the first request is challenged with `echo`."""
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.echo_recovery = echo

    def post_seqnoincrease(self) -> None:
        """Nothing is kept."""

    def protect_ours(self, message: CoapMessage, request_id: Any = None) -> tuple[CoapMessage, Any]:
        """aiocoap's `protect`, for our messages."""
        outer, exchange = self.protect(to_aiocoap(message, Direction.OUTGOING), request_id)
        return from_aiocoap(outer, message.token), exchange

    def unprotect_ours(self, outer: CoapMessage, request_id: Any = None) -> tuple[CoapMessage, Any]:
        """aiocoap's `unprotect`, for our messages."""
        message, exchange = self.unprotect(to_aiocoap(outer, Direction.INCOMING), request_id)
        return from_aiocoap(message, outer.token), exchange


def to_aiocoap(message: CoapMessage, direction: Direction) -> Message:
    encoded = datagram.encode(Datagram(Type.NON_CONFIRMABLE, 0, message))
    decoded = Message.decode(encoded)
    decoded.direction = direction
    return decoded


def from_aiocoap(message: Message, token: bytes) -> CoapMessage:
    options = tuple((int(option.number), option.encode()) for option in message.opt.option_list())
    return CoapMessage(int(message.code), token, tuple(sorted(options)), message.payload)
