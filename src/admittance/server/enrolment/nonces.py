"""Nonces for devices: nothing is stored until one is spent, so asking for many costs nothing.

A nonce is expiry (8 bytes, Unix seconds) | random (8) | HMAC-SHA256 over label, expiry, random and device id
(first 16 bytes). Any node makes and recognises them; known and unknown device ids get them alike.
"""

import hmac
from collections.abc import Callable

from admittance.errors import AuthenticationFailed

NONCE_TTL_S = 5 * 60
_EXPIRY_BYTES = 8
_RANDOM_BYTES = 8
_MAC_BYTES = 16


class Nonces:
    """`key` is the keystore's key for codes; `random` gives n random bytes."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    def issue(self, device_id: str, now: float) -> bytes:
        """A nonce of 32 bytes for one request of that device within `NONCE_TTL_S`."""
        body = (int(now) + NONCE_TTL_S).to_bytes(_EXPIRY_BYTES, "big") + self._random(_RANDOM_BYTES)
        return body + self._mac(body, device_id)

    def expiry(self, nonce: bytes, device_id: str) -> int:
        """When `nonce` ends (Unix seconds). Raises `AuthenticationFailed` if it isn't ours for this device."""
        body, mac = nonce[:-_MAC_BYTES], nonce[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, device_id)):
            raise AuthenticationFailed("The nonce is not one of this server for this device: ask for a new one.")
        return int.from_bytes(body[:_EXPIRY_BYTES], "big")

    def _mac(self, body: bytes, device_id: str) -> bytes:
        message = b"admittance/enrolment-nonce/1|" + body + device_id.encode()
        return hmac.digest(self._key, message, "sha256")[:_MAC_BYTES]
