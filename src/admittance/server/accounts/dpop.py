"""DPoP proofs, checked as RFC 9449 asks: section 4.3 (the proof), 7 (with a token), 8 (server nonce).

Section 11.1 (replay) needs a store and lives in `proofs_seen`. Every failure is the same `AuthenticationFailed`,
except that a proof which lacks only a current nonce gets `NonceRequired`, which carries one.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from joserfc import jwk, jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel

from admittance.errors import AuthenticationFailed, Malformed, NonceRequired
from admittance.wire import base64url

NONCE_STEP_S = 60
NONCE_STEPS_ACCEPTED = 2
PROOF_LIFETIME_S = NONCE_STEP_S * NONCE_STEPS_ACCEPTED
IAT_WINDOW_S = 300
MAX_PROOF_CHARACTERS = 4096
_ALGORITHMS = {"EC": ("ES256",), "OKP": ("Ed25519", "EdDSA")}
_CURVES = {"EC": "P-256", "OKP": "Ed25519"}
_COORDINATES = {"EC": ("x", "y"), "OKP": ("x",)}
_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "alg", "use", "kid", "key_ops"})
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_JTI = re.compile(r"[\x21-\x7e]{8,128}")
_UNRESERVED = "-._~!$&'()*+,;=:@/"


class _Registry(jws.JWSRegistry):
    """Gives our three algorithms alone; `EdDSA` (RFC 8037) is accepted beside its successor `Ed25519` (RFC 9864)."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if not any(name in names for names in _ALGORITHMS.values()):
            raise AuthenticationFailed(_FAILED)
        return self.algorithms[name]


_FAILED = "The request is not authenticated."
_REGISTRY = _Registry()


@dataclass(frozen=True)
class VerifiedProof:
    """A proof that held. `jkt` is the RFC 7638 SHA-256 thumbprint of the key, base64url."""

    jkt: str
    jti: str


class Nonces:
    """Server nonces: an HMAC over the minute, so that all nodes with the same key accept the same ones.

    Nonces with another `label` are others.
    """

    def __init__(self, key: bytes, label: bytes = b"admittance/dpop-nonce/1") -> None:
        self._key = key
        self._label = label

    def current(self, now: float) -> str:
        """The nonce to hand out at Unix time `now`."""
        return self._of_step(int(now) // NONCE_STEP_S)

    def accepts(self, nonce: str, now: float) -> bool:
        """Whether `nonce` is that of this step or of the one before."""
        step = int(now) // NONCE_STEP_S
        candidates = [self._of_step(step - back) for back in range(NONCE_STEPS_ACCEPTED)]
        matches = [hmac.compare_digest(nonce.encode(), candidate.encode()) for candidate in candidates]
        return any(matches)

    def _of_step(self, step: int) -> str:
        message = self._label + step.to_bytes(8, "big")
        return base64url.encode(hmac.digest(self._key, message, "sha256")[:16])


class ProofVerifier:
    """Checks proofs for one server, known by its configured origin; a `Host` header is never believed."""

    def __init__(self, *, origin: str, nonces: Nonces) -> None:
        self._origin = origin
        self.nonces = nonces

    def verify(self, proof: str, *, method: str, path: str, access_token: str | None, now: float) -> VerifiedProof:
        """Check one proof for a request of `method` on `path` (still percent-encoded, without query).

        Args:
            access_token: the token that the request carries, or None at the token endpoint.
            now: Unix time in seconds.

        Raises:
            NonceRequired: all is well but for a missing or outdated nonce.
            AuthenticationFailed: anything else.
        """
        if len(proof) > MAX_PROOF_CHARACTERS or _COMPACT.fullmatch(proof) is None:
            raise AuthenticationFailed(_FAILED)
        key, claims = _open(proof)
        jti, iat, nonce = claims.get("jti"), claims.get("iat"), claims.get("nonce")
        if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
            raise AuthenticationFailed(_FAILED)
        if claims.get("htm") != method or not _same_uri(claims.get("htu"), self._origin + path):
            raise AuthenticationFailed(_FAILED)
        if isinstance(iat, bool) or not isinstance(iat, int | float) or not abs(int(now) - iat) <= IAT_WINDOW_S:
            raise AuthenticationFailed(_FAILED)
        if access_token is not None:
            ath = claims.get("ath")
            if not isinstance(ath, str) or not _equal(ath, token_hash(access_token)):
                raise AuthenticationFailed(_FAILED)
        if not isinstance(nonce, str) or not nonce.isascii() or not self.nonces.accepts(nonce, now):
            raise NonceRequired(self.nonces.current(now))
        return VerifiedProof(jkt=thumbprint(key), jti=jti)


def token_hash(access_token: str) -> str:
    """`ath` of RFC 9449, section 4.2: base64url SHA-256 of the token's ASCII."""
    return base64url.encode(hashlib.sha256(access_token.encode()).digest())


def normalise_uri(uri: str) -> str:
    """Normalise an http(s) URI by RFC 3986, sections 6.2.2 and 6.2.3, without query and fragment.

    Raises:
        ValueError: not an absolute http or https URI.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an absolute http or https URI")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, {"http": 80, "https": 443}[scheme]) else f":{parts.port}"
    segments = [quote(unquote(segment, errors="strict"), safe=_UNRESERVED[:-1]) for segment in parts.path.split("/")]
    return f"{scheme}://{host}{port}{'/'.join(segments) or '/'}"


def _open(proof: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        unverified = jws.extract_compact(proof.encode(), registry=_REGISTRY)
        header = unverified.headers()
        key = _public_key(header)
        jws.deserialize_compact(proof, jwk.import_key(key, key_type=key["kty"]), registry=_REGISTRY)
        claims = json.loads(unverified.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise AuthenticationFailed(_FAILED) from error
    if not isinstance(claims, dict):
        raise AuthenticationFailed(_FAILED)
    return key, claims


def _public_key(header: Mapping[str, Any]) -> dict[str, Any]:
    """The embedded key: public, on one of our curves, in the one canonical encoding."""
    key = header.get("jwk")
    if header.get("typ") != "dpop+jwt" or "crit" in header or not isinstance(key, dict):
        raise AuthenticationFailed(_FAILED)
    kind = key.get("kty")
    if kind not in ("EC", "OKP") or not _PUBLIC_MEMBERS.issuperset(key):
        raise AuthenticationFailed(_FAILED)
    if header.get("alg") not in _ALGORITHMS[kind] or key.get("crv") != _CURVES[kind]:
        raise AuthenticationFailed(_FAILED)
    required = {"kty": kind, "crv": key["crv"]}
    for name in _COORDINATES[kind]:
        value = key.get(name)
        if not isinstance(value, str) or not _canonical_coordinate(value):
            raise AuthenticationFailed(_FAILED)
        required[name] = value
    return required


def _canonical_coordinate(value: str) -> bool:
    try:
        base64url.decode(value, length=32)
    except Malformed:
        return False
    return True


def thumbprint(key: Mapping[str, str]) -> str:
    """RFC 7638, section 3: SHA-256 over the required members in lexicographic order."""
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":")).encode()
    return base64url.encode(hashlib.sha256(canonical).digest())


def _same_uri(claimed: object, expected: str) -> bool:
    if not isinstance(claimed, str):
        return False
    try:
        return normalise_uri(claimed) == normalise_uri(expected)
    except ValueError:
        return False


def _equal(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(errors="surrogatepass"), b.encode())
