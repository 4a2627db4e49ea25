"""The OSCORE option (RFC 8613, section 6.1): which context opens a message, and which nonce its sender used.

``[0 0 0 | kid context? | kid? | length of partial IV][partial IV][length][kid context][kid]``; all absent is empty.
"""

from typing import Final

import msgspec

from admittance.errors import Malformed, Misuse

MAX_SEQUENCE: Final = 2**40 - 1
MAX_PARTIAL_IV_BYTES: Final = 5
MAX_ID_CONTEXT_BYTES: Final = 255

_KID_CONTEXT, _KID, _LENGTH = 0x10, 0x08, 0x07
_RESERVED = 0xE0


class OscoreOption(msgspec.Struct, frozen=True):
    """What the option holds; `None` is absent, an empty `kid` is the kid of no bytes."""

    partial_iv: bytes | None = None
    kid: bytes | None = None
    kid_context: bytes | None = None


_EMPTY = OscoreOption()


def encode_partial_iv(number: int) -> bytes:
    """A sequence number without leading zero bytes; 0 is one zero byte (RFC 8613, section 5)."""
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


def encode(option: OscoreOption) -> bytes:
    """Raises `Misuse` for a partial IV or kid context that the option does not carry."""
    partial_iv, kid, kid_context = option.partial_iv, option.kid, option.kid_context
    if partial_iv is not None and not _is_partial_iv(partial_iv):
        raise Misuse("a partial IV has 1 to 5 bytes and no leading zeros")
    if kid_context is not None and len(kid_context) > MAX_ID_CONTEXT_BYTES:
        raise Misuse("a kid context of more than 255 bytes")
    if option == _EMPTY:
        return b""
    flags = len(partial_iv or b"")
    tail = partial_iv or b""
    if kid_context is not None:
        flags |= _KID_CONTEXT
        tail += bytes((len(kid_context),)) + kid_context
    if kid is not None:
        flags |= _KID
        tail += kid
    return bytes((flags,)) + tail


def decode(value: bytes) -> OscoreOption:
    """Raises `Malformed` for reserved flags, a length of 6 or 7, a partial IV that is not in its shortest form,
    fields that end early, flags that are zero without being left out, and bytes behind the last field."""
    if not value:
        return _EMPTY
    flags = value[0]
    end = 1 + (flags & _LENGTH)
    if flags & _RESERVED or not flags or end > 1 + MAX_PARTIAL_IV_BYTES or end > len(value):
        raise Malformed("an OSCORE option with reserved bits, or one that ends early")
    if end > 2 and not value[1]:
        raise Malformed("a partial IV that is not in its shortest form")
    partial_iv = value[1:end] or None
    kid_context = None
    if flags & _KID_CONTEXT:
        begin, end = end + 1, end + 1 + (value[end] if end < len(value) else MAX_ID_CONTEXT_BYTES)
        kid_context = value[begin:end]
    if end > len(value) or (end < len(value) and not flags & _KID):
        raise Malformed("an OSCORE option that ends early or late")
    return OscoreOption(partial_iv, value[end:] if flags & _KID else None, kid_context)


def _is_partial_iv(value: bytes) -> bool:
    return 1 <= len(value) <= MAX_PARTIAL_IV_BYTES and (value[0] != 0 or len(value) == 1)
