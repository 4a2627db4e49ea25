"""Proof key for code exchange (RFC 7636), S256."""

import hashlib
import secrets
from dataclasses import dataclass

from admittance.wire import base64url


@dataclass(frozen=True)
class Pkce:
    """`verifier` stays here until the code is exchanged; `challenge` goes with the request."""

    verifier: str
    challenge: str

    @classmethod
    def generate(cls) -> "Pkce":
        verifier = secrets.token_urlsafe(32)
        return cls(verifier, base64url.encode(hashlib.sha256(verifier.encode()).digest()))
