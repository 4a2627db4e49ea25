"""Proof key for code exchange (RFC 7636): S256 alone, and for every client (RFC 9700, section 2.1.1)."""

import hashlib
import hmac
import re

from admittance.errors import InvalidGrant, InvalidRequest
from admittance.server.access.form import Parameters, required
from admittance.wire import base64url

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def challenge_of(parameters: Parameters) -> str:
    """The code challenge of an authorization request. Raises `InvalidRequest`: none, or another method than S256."""
    challenge = required(parameters, "code_challenge")
    if parameters.get("code_challenge_method") != "S256" or _CHALLENGE.fullmatch(challenge) is None:
        raise InvalidRequest("Send a code_challenge with the code_challenge_method S256.")
    return challenge


def verify(verifier: str, challenge: str) -> None:
    """That who holds `verifier` made `challenge`. Raises `InvalidGrant`."""
    computed = base64url.encode(hashlib.sha256(verifier.encode()).digest())
    if _VERIFIER.fullmatch(verifier) is None or not hmac.compare_digest(computed, challenge):
        raise InvalidGrant("The code_verifier is not that of the code_challenge.")
