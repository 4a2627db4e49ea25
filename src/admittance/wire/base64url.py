"""Base64url without padding (RFC 4648, section 5), as all our JSON carries bytes."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from admittance.errors import Malformed

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str, *, length: int | None = None) -> bytes:
    """The bytes behind `text`; exactly `length` bytes where it is given.

    There is one text for each sequence of bytes: padding, other alphabets, white space and stray low
    bits raise `Malformed`.
    """
    if not _ALPHABET.fullmatch(text):
        raise Malformed("Base64url holds letters, digits, - and _ only, without padding.")
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise Malformed("The base64url text is cut off.") from error
    if encode(data) != text:
        raise Malformed("The base64url text has stray bits at its end.")
    if length is not None and len(data) != length:
        raise Malformed(f"Expected {length} bytes in base64url, found {len(data)}.")
    return data
