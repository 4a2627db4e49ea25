"""The client's key and its proofs, checked by an independent reading of RFC 9449, section 4.2."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256

from admittance.client.dpop import DpopKey
from admittance.errors import ConfigurationError, NotFound


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_proof_says_what_it_is_for_and_is_signed_by_the_key_that_it_shows() -> None:
    key = DpopKey.generate()
    proof = key.proof(method="PUT", uri="https://h.example/a", now=1234.9, nonce="n", access_token="t")
    header_part, claims_part, signature = proof.split(".")
    header, claims = json.loads(decode(header_part)), json.loads(decode(claims_part))
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    expected = {"htm": "PUT", "htu": "https://h.example/a", "iat": 1234, "nonce": "n"}
    assert {name: claims[name] for name in expected} == expected
    assert decode(claims["ath"]) == hashlib.sha256(b"t").digest()
    x, y = (int.from_bytes(decode(header["jwk"][name])) for name in ("x", "y"))
    r, s = int.from_bytes(decode(signature)[:32]), int.from_bytes(decode(signature)[32:])
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(utils.encode_dss_signature(r, s), f"{header_part}.{claims_part}".encode(), ec.ECDSA(SHA256()))


def test_every_proof_is_another_one() -> None:
    key = DpopKey.generate()
    proofs = {key.proof(method="GET", uri="https://h", now=0, nonce=None, access_token=None) for _ in range(5)}
    assert len(proofs) == 5


def test_a_key_survives_its_file_which_nobody_else_can_open(tmp_path: Path) -> None:
    key, path = DpopKey.generate(), tmp_path / "new" / "dpop.key"
    key.save(path)
    assert DpopKey.load(path).jkt == key.jkt
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_key_that_others_can_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dpop.key"
    DpopKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        DpopKey.load(path)


def test_a_missing_key_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        DpopKey.load(tmp_path / "none")


def test_other_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dpop.key"
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        path.chmod(0o600)
        with pytest.raises(ConfigurationError):
            DpopKey.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ConfigurationError):
        DpopKey.load(path)
