"""MakeCredential, against the TPM's side of it written out with the primitives of the specification."""

import hashlib
import hmac
import secrets

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import EkRefused, Malformed, Misuse
from admittance.protocol.tpm.credential import make_credential
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.credential import EncryptedPoint, EncryptedSeed, IdObject, decode_encrypted_secret
from admittance.wire.tpm.public import EccParameters, Public, RsaParameters, Symmetric
from tests.tpm_material import BOUND, public_of

RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS = {
    "rsa": (RSA_KEY, alg.SHA256, hashlib.sha256, 128),
    "p256": (ec.generate_private_key(ec.SECP256R1()), alg.SHA256, hashlib.sha256, 128),
    "p384": (ec.generate_private_key(ec.SECP384R1()), alg.SHA384, hashlib.sha384, 256),
}
NAME = b"\x00\x0b" + bytes(range(32))


def ek(kind: str) -> Public:
    key, name_alg, _, bits = KEYS[kind]
    public = public_of(key, scheme=None, name_alg=name_alg)
    parameters = public.parameters
    if isinstance(parameters, RsaParameters):
        parameters = RsaParameters(Symmetric(bits), None, parameters.key_bits, parameters.modulus)
    else:
        parameters = EccParameters(Symmetric(bits), None, parameters.curve, parameters.x, parameters.y)
    return Public(name_alg, BOUND, b"", parameters)


def kdfa(digest: object, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    data = b"\x00\x00\x00\x01" + label + b"\x00" + context + bits.to_bytes(4)
    return hmac.new(key, data, digest).digest()[: bits // 8]


def seed_of(kind: str, secret: EncryptedPoint | EncryptedSeed) -> bytes:
    key, _, digest, _ = KEYS[kind]
    if isinstance(secret, EncryptedSeed):
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\x00")
        return RSA_KEY.decrypt(secret.ciphertext, oaep)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, b"\x04" + secret.x + secret.y)
    own = key.public_key().public_numbers().x.to_bytes(key.curve.key_size // 8)
    shared = key.exchange(ec.ECDH(), ephemeral)
    return bytes(digest(b"\x00\x00\x00\x01" + shared + b"IDENTITY\x00" + secret.x + own).digest())


@pytest.mark.parametrize("kind", KEYS)
@settings(max_examples=20, deadline=None)
@given(secret=st.binary(min_size=1, max_size=32))
def test_the_tpm_gets_the_secret_back(kind: str, secret: bytes) -> None:
    blob, encrypted = make_credential(ek(kind), NAME, secret, secrets.token_bytes)
    _, _, digest, bits = KEYS[kind]
    seed = seed_of(kind, decode_encrypted_secret(encrypted))
    id_object = IdObject.decode(blob)
    integrity_key = kdfa(digest, seed, b"INTEGRITY", b"", digest().digest_size * 8)
    assert hmac.new(integrity_key, id_object.identity + NAME, digest).digest() == id_object.integrity
    storage_key = kdfa(digest, seed, b"STORAGE", NAME, bits)
    decryptor = Cipher(algorithms.AES(storage_key), CFB(bytes(16))).decryptor()
    assert decryptor.update(id_object.identity) + decryptor.finalize() == len(secret).to_bytes(2) + secret


@pytest.mark.parametrize("kind", KEYS)
def test_no_two_challenges_are_alike(kind: str) -> None:
    first, second = (make_credential(ek(kind), NAME, bytes(32), secrets.token_bytes) for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_key_that_is_no_storage_key() -> None:
    with pytest.raises(EkRefused):
        make_credential(public_of(RSA_KEY, scheme=None), NAME, bytes(32), secrets.token_bytes)


def test_a_point_off_its_curve() -> None:
    parameters = EccParameters(Symmetric(128), None, alg.NIST_P256, bytes(31) + b"\x01", bytes(31) + b"\x01")
    with pytest.raises(Malformed):
        make_credential(Public(alg.SHA256, BOUND, b"", parameters), NAME, bytes(32), secrets.token_bytes)


@pytest.mark.parametrize("size", [0, 33])
def test_a_secret_of_the_wrong_size(size: int) -> None:
    with pytest.raises(Misuse):
        make_credential(ek("p256"), NAME, bytes(size), secrets.token_bytes)
