"""What a channel's security context is made of, wherever it came from."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """Master secret and salt, and the two ids. A handshake gives 16 and 8 bytes (RFC 9528, appendix A.1)."""

    master_secret: bytes = field(repr=False)
    master_salt: bytes = field(repr=False)
    sender_id: bytes
    recipient_id: bytes
