"""Device ids and registry keys: both are derived from the identity key, so neither can be chosen."""

import base64
import hashlib
import re
from functools import lru_cache

from admittance.errors import Malformed

_PATTERN = re.compile(r"AD[A-Z2-7]{20}")


def registry_key(spki: bytes) -> bytes:
    """SHA-256 over the identity's SubjectPublicKeyInfo (DER): the key of the registry, 32 bytes."""
    return hashlib.sha256(spki).digest()


@lru_cache(256)
def device_id(spki: bytes) -> str:
    """The short id for people: ``AD`` and 20 base32 characters of `registry_key` (100 bits)."""
    return "AD" + base64.b32encode(registry_key(spki)[:15]).decode("ascii")[:20]


def check_device_id(text: str) -> str:
    """Return `text` if it has the form of a device id. Raises `Malformed` otherwise."""
    if not _PATTERN.fullmatch(text):
        raise Malformed("not a device id: AD and 20 characters of A-Z and 2-7 are expected")
    return text
