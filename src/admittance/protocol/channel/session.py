"""One security context of a channel: a channel has another one after each handshake."""

from collections.abc import Callable
from typing import Final

from admittance.errors import ContextExhausted
from admittance.protocol.channel.channel_keys import ChannelKeys
from admittance.protocol.channel.oscore import SecurityContext
from admittance.wire.access import Holder
from admittance.wire.coap.message import CoapMessage

MAX_MESSAGES: Final = 1 << 16
MAX_AGE_S: Final = 3600.0
# How long the session before stays good for what is under way in it.
GRACE_S: Final = 30.0


class Session:
    """A security context, with who is at its other end and how much it was used.

    `find` gives who is at the other end as it stands now, and raises `Refused` once it may talk no more; `holder` is
    what it gave last. Both are None on the initiator's side. `ends_at` is when a session that was replaced is over.
    """

    __slots__ = ("context", "ends_at", "find", "holder", "messages", "recipient_id", "since")

    def __init__(
        self, keys: ChannelKeys, now: float, holder: Holder | None = None, find: Callable[[], Holder] | None = None
    ) -> None:
        self.context = SecurityContext.derive(
            keys.master_secret,
            master_salt=keys.master_salt,
            sender_id=keys.sender_id,
            recipient_id=keys.recipient_id,
        )
        self.recipient_id = keys.recipient_id
        self.holder = holder
        self.find = find
        self.since = now
        self.messages = 0
        self.ends_at: float | None = None

    @property
    def renew_at(self) -> float:
        """When the initiator makes new keys, by the clock; sooner after `MAX_MESSAGES`."""
        return self.since + MAX_AGE_S

    def is_worn(self, now: float) -> bool:
        return now >= self.renew_at or self.messages >= MAX_MESSAGES

    def check(self, now: float) -> None:
        """Raises `ContextExhausted` beyond what both sides tolerate: twice the age, or twice the messages."""
        if now >= self.since + 2 * MAX_AGE_S or self.messages >= 2 * MAX_MESSAGES:
            raise ContextExhausted("The channel's keys are worn out.")


def with_token(message: CoapMessage, token: bytes) -> CoapMessage:
    """The same message under another token."""
    return CoapMessage(message.code, token, message.options, message.payload)
