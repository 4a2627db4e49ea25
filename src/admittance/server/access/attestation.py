"""Attested clients: draft-ietf-oauth-attestation-based-client-auth-11.

A client shows the attestation of its app (section 4) and proves the key in it by its DPoP proof (section 5.2,
``attest_jwt_client_auth_dpop``). Where it also sends an ``OAuth-Client-Attestation-PoP`` (section 5.1), that must
hold as well, and by the same key: tokens are bound to the key that is attested, and to no other.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.datastructures import Headers

from admittance.errors import (
    AttestationChallengeRequired,
    ClientAttestationRefused,
    FreshAttestationRequired,
    IntegrityRequired,
)
from admittance.server.access.attester_keys import AttesterKeys
from admittance.server.accounts.dpop import Nonces, VerifiedProof, thumbprint
from admittance.wire.integrity import ATTESTATION_HEADER, ATTESTATION_TYPE

POP_HEADER = "oauth-client-attestation-pop"
POP_TYPE = "oauth-client-attestation-pop+jwt"
ALGORITHMS = ("ES256",)
MAX_LIFETIME_S = 3600
CHALLENGE_LABEL = b"admittance/attestation-challenge/1"

_SKEW_S = 60
_POP_WINDOW_S = 300
_MAX_CHARACTERS = 8192
_FAILED = "The app's attestation does not hold."


@dataclass(frozen=True)
class VerifiedAttestation:
    """An attestation that held, for a request whose proof is by the attested key `jkt`.

    `release` is the app's version, `expires_at` the Unix time from which it counts no more.
    """

    client_id: str
    jkt: str
    expires_at: int
    release: str


class AttestationVerifier:
    """Checks attestations of one integrity service.

    Args:
        issuer: the integrity service's origin.
        keys: its public keys.
        audience: this server's issuer identifier, for proofs that name it.
        challenges: what such proofs must carry; the same on all nodes.
    """

    def __init__(self, *, issuer: str, keys: AttesterKeys, audience: str, challenges: Nonces) -> None:
        self._issuer = issuer
        self._keys = keys
        self._audience = audience
        self._challenges = challenges

    def challenge(self, now: float) -> str:
        """What an ``OAuth-Client-Attestation-PoP`` must carry (section 6)."""
        return self._challenges.current(now)

    def verify(self, headers: Headers, proof: VerifiedProof, *, client_id: str, now: float) -> VerifiedAttestation:
        """The attestation of a request whose DPoP proof held and is not yet spent.

        An attestation is good for any number of requests until it ends; each has a proof of its own.

        Raises:
            FreshAttestationRequired: it has ended.
            AttestationChallengeRequired: the attestation's own proof lacks the current challenge.
            ClientAttestationRefused: none, several, or one that does not hold; another's; another key's.
            Unavailable: the integrity service's keys are not known at the moment.
        """
        claims = self._claims(_single(headers, ATTESTATION_HEADER), now)
        jwk = _confirmed_key(claims)
        if not hmac.compare_digest(thumbprint(jwk), proof.jkt):
            raise ClientAttestationRefused(_FAILED)
        if claims.get("iss") != self._issuer or claims.get("sub") != client_id:
            raise ClientAttestationRefused(_FAILED)
        issued_at, expires_at, release = claims.get("iat"), claims.get("exp"), claims.get("release")
        if not _is_time(issued_at) or not _is_time(expires_at) or not isinstance(release, str):
            raise ClientAttestationRefused(_FAILED)
        if not issued_at < expires_at <= issued_at + MAX_LIFETIME_S or issued_at > now + _SKEW_S:
            raise ClientAttestationRefused(_FAILED)
        if expires_at <= now:
            raise FreshAttestationRequired("The app's attestation has ended. Attest the app again.")
        if POP_HEADER in headers:
            self._check_pop(_single(headers, POP_HEADER), jwk, now)
        return VerifiedAttestation(client_id=client_id, jkt=proof.jkt, expires_at=int(expires_at), release=release)

    def _claims(self, attestation: str, now: float) -> dict[str, Any]:
        kid = _header(attestation, ATTESTATION_TYPE).get("kid")
        key = self._keys.find(kid, now) if isinstance(kid, str) else None
        if key is None:
            raise ClientAttestationRefused(_FAILED)
        return _opened(attestation, key)

    def _check_pop(self, pop: str, jwk: Mapping[str, str], now: float) -> None:
        _header(pop, POP_TYPE)
        claims = _opened(pop, ECKey.import_key(dict(jwk)))
        issued_at, challenge = claims.get("iat"), claims.get("challenge")
        if claims.get("aud") != self._audience or not isinstance(claims.get("jti"), str):
            raise ClientAttestationRefused(_FAILED)
        if not _is_time(issued_at) or abs(now - issued_at) > _POP_WINDOW_S:
            raise ClientAttestationRefused(_FAILED)
        if not isinstance(challenge, str) or not challenge.isascii() or not self._challenges.accepts(challenge, now):
            raise AttestationChallengeRequired(self.challenge(now))


def claimed_client(headers: Headers) -> str:
    """The client that an attestation, not yet verified, is for. Raises `ClientAttestationRefused`."""
    attestation = _single(headers, ATTESTATION_HEADER)
    _header(attestation, ATTESTATION_TYPE)
    client_id = _decoded(jws.extract_compact(attestation.encode()).payload).get("sub")
    if not isinstance(client_id, str):
        raise ClientAttestationRefused(_FAILED)
    return client_id


class Attested(Protocol):
    """A login, a token or a client that may be attested, and until when."""

    @property
    def attested_until(self) -> int | None: ...


def require_attested(who: Attested, now: float) -> int:
    """Until when the app of `who` is attested; ask again then, as long as it goes on.

    Raises:
        IntegrityRequired: it was never attested, or is not any more.
    """
    until = who.attested_until
    if until is None or until <= now:
        raise IntegrityRequired("This needs an app that is attested now. Run: admit integrity attest")
    return until


def _single(headers: Headers, name: str) -> str:
    found = headers.getlist(name)
    if len(found) != 1:
        raise ClientAttestationRefused(_FAILED)
    return found[0]


def _header(token: str, kind: str) -> Mapping[str, Any]:
    """The header of a compact JWS, not yet verified, of the only type and algorithms that we take."""
    try:
        if len(token) > _MAX_CHARACTERS:
            raise ClientAttestationRefused(_FAILED)
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise ClientAttestationRefused(_FAILED) from error
    if header.get("typ") != kind or header.get("alg") not in ALGORITHMS or "crit" in header:
        raise ClientAttestationRefused(_FAILED)
    return header


def _opened(token: str, key: ECKey) -> dict[str, Any]:
    try:
        payload = jws.deserialize_compact(token, key, algorithms=list(ALGORITHMS)).payload
    except (JoseError, ValueError, TypeError) as error:
        raise ClientAttestationRefused(_FAILED) from error
    return _decoded(payload)


def _decoded(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ClientAttestationRefused(_FAILED) from error
    if not isinstance(claims, dict):
        raise ClientAttestationRefused(_FAILED)
    return claims


def _confirmed_key(claims: Mapping[str, Any]) -> dict[str, str]:
    """`cnf.jwk` (RFC 7800, section 3.2): a public P-256 key."""
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or "d" in jwk:
        raise ClientAttestationRefused(_FAILED)
    members = {name: jwk.get(name) for name in ("kty", "crv", "x", "y")}
    if not all(isinstance(value, str) for value in members.values()):
        raise ClientAttestationRefused(_FAILED)
    return {name: str(value) for name, value in members.items()}


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
