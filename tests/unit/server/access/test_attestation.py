"""An attestation counts for its client, with its key, while it lives, and only if the trusted service signed it."""

import json
import secrets
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey
from starlette.datastructures import Headers

from admittance.client.dpop import DpopKey
from admittance.errors import (
    AttestationChallengeRequired,
    ClientAttestationRefused,
    FreshAttestationRequired,
    IntegrityRequired,
)
from admittance.server.access.attestation import (
    ATTESTATION_HEADER,
    POP_HEADER,
    POP_TYPE,
    AttestationVerifier,
    VerifiedAttestation,
    claimed_client,
    require_attested,
)
from admittance.server.accounts.dpop import Nonces, VerifiedProof
from admittance.wire import base64url
from tests.unit.server.access.attester import ISSUER, Attester, sign

NOW = 1_800_000_000.0
ORIGIN = "https://admittance.test"
CLIENT = "door-app"


class World:
    def __init__(self) -> None:
        self.attester, self.app = Attester(), DpopKey.generate()
        self.nonces = Nonces(secrets.token_bytes(32), b"challenges")
        self.verifier = AttestationVerifier(issuer=ISSUER, keys=self, audience=ORIGIN, challenges=self.nonces)

    def find(self, kid: str, _now: float) -> ECKey | None:
        return self.attester.key if kid == self.attester.kid else None

    def verify(
        self,
        *attestations: str,
        pop: str | None = None,
        by: DpopKey | None = None,
        client_id: str = CLIENT,
        now: float = NOW,
    ) -> VerifiedAttestation:
        raw = [(ATTESTATION_HEADER.encode(), each.encode()) for each in attestations]
        raw += [(POP_HEADER.encode(), pop.encode())] if pop is not None else []
        proof = VerifiedProof(jkt=(by or self.app).jkt, jti=secrets.token_urlsafe(16))
        return self.verifier.verify(Headers(raw=raw), proof, client_id=client_id, now=now)


@pytest.fixture
def world() -> World:
    return World()


def test_a_good_attestation_counts_until_it_ends(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    expected = VerifiedAttestation(client_id=CLIENT, jkt=world.app.jkt, expires_at=int(NOW) + 900, release="1.0")
    assert world.verify(attestation) == expected
    assert world.verify(attestation, now=NOW + 899.9) == expected
    with pytest.raises(FreshAttestationRequired):
        world.verify(attestation, now=NOW + 900)


def test_another_key_does_not_make_use_of_it(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    with pytest.raises(ClientAttestationRefused):
        world.verify(attestation, by=DpopKey.generate())


def test_another_client_does_not_make_use_of_it(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    with pytest.raises(ClientAttestationRefused):
        world.verify(attestation, client_id="lamp-app")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.test"},
        {"iss": None},
        {"sub": "lamp-app"},
        {"sub": None},
        {"exp": None},
        {"iat": None},
        {"exp": True},
        {"exp": "soon"},
        {"exp": int(NOW) + 3601},
        {"iat": int(NOW) + 120, "exp": int(NOW) + 900},
        {"exp": float("nan")},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": {"jkt": "x"}},
        {"cnf": {"jwk": {"kty": "oct", "k": "AAAA"}}},
        {"release": None},
    ],
    ids=str,
)
def test_claims_that_are_not_as_they_must_be_are_refused(world: World, claims: dict[str, Any]) -> None:
    with pytest.raises(ClientAttestationRefused):
        world.verify(world.attester.attest(world.app, now=NOW, **claims))


def test_a_private_key_in_it_is_refused(world: World) -> None:
    key = ECKey.generate_key("P-256")
    attestation = world.attester.attest(world.app, now=NOW, cnf={"jwk": key.as_dict(private=True)})
    with pytest.raises(ClientAttestationRefused):
        world.verify(attestation)


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"kid": "other"}, {"crit": ["exp"], "exp": 1}], ids=str
)
def test_another_header_is_refused(world: World, header: dict[str, Any]) -> None:
    attestation = Attester.attest(world.attester, world.app, now=NOW)
    parts = {"typ": "oauth-client-attestation+jwt", "alg": "ES256", "kid": world.attester.kid} | header
    claims = {
        "iss": ISSUER,
        "sub": CLIENT,
        "iat": int(NOW),
        "exp": int(NOW) + 9,
        "cnf": {"jwk": world.app.public_jwk},
    }
    made = {name: value for name, value in parts.items() if value is not None}
    with pytest.raises(ClientAttestationRefused):
        world.verify(_signed_without_checks(world.attester.key, made, claims | {"release": "1"}))
    assert world.verify(attestation)


def test_another_signer_is_refused_also_under_the_known_id(world: World) -> None:
    forger = Attester()
    forger.kid = world.attester.kid
    with pytest.raises(ClientAttestationRefused):
        world.verify(forger.attest(world.app, now=NOW))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_no_other_algorithm_counts(world: World, algorithm: str) -> None:
    _, payload, signature = world.attester.attest(world.app, now=NOW).split(".")
    other = _b64({"typ": "oauth-client-attestation+jwt", "alg": algorithm, "kid": world.attester.kid})
    for end in (signature, ""):
        with pytest.raises(ClientAttestationRefused):
            world.verify(f"{other}.{payload}.{end}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "..", "é.b.c", "x" * 9000])
def test_what_is_no_jwt_is_refused(world: World, text: str) -> None:
    with pytest.raises(ClientAttestationRefused):
        world.verify(text)


def test_none_or_two_are_refused(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    with pytest.raises(ClientAttestationRefused):
        world.verify()
    with pytest.raises(ClientAttestationRefused):
        world.verify(attestation, attestation)


def pop(world: World, key: ECKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    content = {
        "aud": ORIGIN,
        "jti": secrets.token_urlsafe(16),
        "iat": int(NOW),
        "challenge": world.verifier.challenge(NOW),
    } | claims
    signer = key or world.app._key
    return sign(signer, {"typ": POP_TYPE, "alg": "ES256"} | (header or {}), content)


def test_a_proof_of_its_own_by_the_same_key_is_taken_too(world: World) -> None:
    assert world.verify(world.attester.attest(world.app, now=NOW), pop=pop(world))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://evil.test"},
        {"aud": [ORIGIN, "https://evil.test"]},
        {"jti": None},
        {"iat": None},
        {"iat": int(NOW) - 301},
        {"iat": int(NOW) + 301},
    ],
    ids=str,
)
def test_a_proof_for_something_else_is_refused(world: World, claims: dict[str, Any]) -> None:
    with pytest.raises(ClientAttestationRefused):
        world.verify(world.attester.attest(world.app, now=NOW), pop=pop(world, **claims))


def test_a_proof_by_another_key_or_of_another_type_is_refused(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    for bad in (pop(world, key=ECKey.generate_key("P-256")), pop(world, header={"typ": "dpop+jwt"})):
        with pytest.raises(ClientAttestationRefused):
            world.verify(attestation, pop=bad)


@pytest.mark.parametrize("challenge", [None, "", "é", "A" * 22])
def test_a_proof_without_the_current_challenge_is_told_it(world: World, challenge: str | None) -> None:
    with pytest.raises(AttestationChallengeRequired) as caught:
        world.verify(world.attester.attest(world.app, now=NOW), pop=pop(world, challenge=challenge))
    assert caught.value.challenge == world.verifier.challenge(NOW)
    fresh = pop(world, challenge=caught.value.challenge)
    assert world.verify(world.attester.attest(world.app, now=NOW), pop=fresh)


def test_challenges_end_with_their_second_minute(world: World) -> None:
    old = pop(world, challenge=world.verifier.challenge(NOW - 120))
    with pytest.raises(AttestationChallengeRequired):
        world.verify(world.attester.attest(world.app, now=NOW), pop=old)


def test_challenges_are_not_dpop_nonces() -> None:
    key = secrets.token_bytes(32)
    assert Nonces(key).current(NOW) != Nonces(key, b"challenges").current(NOW)


def test_the_claimed_client_is_read_before_the_signature(world: World) -> None:
    attestation = world.attester.attest(world.app, now=NOW)
    assert claimed_client(Headers({ATTESTATION_HEADER: attestation})) == CLIENT
    with pytest.raises(ClientAttestationRefused):
        claimed_client(Headers({ATTESTATION_HEADER: world.attester.attest(world.app, now=NOW, sub=7)}))


def test_what_needs_integrity_asks_for_it_until_it_ends() -> None:
    assert require_attested(SimpleNamespace(attested_until=100), 99.9) == 100
    for until in (None, 99, 100):
        with pytest.raises(IntegrityRequired):
            require_attested(SimpleNamespace(attested_until=until), 100)


def _b64(value: dict[str, Any]) -> str:
    return base64url.encode(json.dumps(value).encode())


def _signed_without_checks(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """As `sign`, also with headers that a library would not write."""
    signed = f"{_b64(header)}.{_b64(claims)}"
    r, s = decode_dss_signature(key.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{base64url.encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
