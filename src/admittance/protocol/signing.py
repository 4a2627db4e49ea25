"""Signing and verifying COSE_Sign1 with P-256 (ES256) and Ed25519 (EdDSA) keys, and no others."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from admittance.errors import KeyRefused, Malformed, SignatureInvalid
from admittance.wire.cose import ALG, EDDSA, ES256, KID, X5CHAIN, Sign1, protected_header, signature_input

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())

# What the one DER encoding of a P-256 key starts with, up to its uncompressed point (RFC 5480, section 2), and of
# an Ed25519 key (RFC 8410, section 4). What follows has a fixed size.
P256_SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_ED25519_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")

_P256_COORDINATE_BYTES = 32
_CACHED_KEYS = 256

# The encodings of the points of order 1, 2, 4 and 8 on edwards25519, canonical or not.
SMALL_ORDER_POINTS = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)


class Signer(Protocol):
    """A key handle: a file, a TPM or a token. `spki` is the public key as SubjectPublicKeyInfo (DER)."""

    @property
    def algorithm(self) -> int:
        """The COSE algorithm: -7 (ES256) or -8 (EdDSA)."""

    @property
    def spki(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes:
        """Sign `data`; the signature has COSE's encoding (RFC 9053, section 2), 64 bytes."""


class SoftwareSigner:
    """A `Signer` over a private key in memory. Raises `KeyRefused` for other keys than P-256 and Ed25519."""

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key
        self.spki = spki_of(private_key.public_key())
        self.algorithm = _algorithm_of(private_key.public_key())

    def sign(self, data: bytes) -> bytes:
        if isinstance(self._private_key, ed25519.Ed25519PrivateKey):
            return self._private_key.sign(data)
        r, s = decode_dss_signature(self._private_key.sign(data, ECDSA_SHA256))
        return r.to_bytes(_P256_COORDINATE_BYTES) + s.to_bytes(_P256_COORDINATE_BYTES)


def spki_of(public_key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a key."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(_CACHED_KEYS)
def load_public_key(spki: bytes) -> PublicKey:
    """Load a SubjectPublicKeyInfo (DER).

    Raises `Malformed` if it doesn't decode or isn't in its one DER encoding, and `KeyRefused` if it isn't a P-256 or
    Ed25519 key, or is an Ed25519 point of small order: under such a key anybody can sign.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except UnsupportedAlgorithm as error:
        raise KeyRefused("Only P-256 and Ed25519 keys are accepted.") from error
    except (ValueError, TypeError) as error:
        raise Malformed("not a SubjectPublicKeyInfo") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise KeyRefused("Only P-256 and Ed25519 keys are accepted.")
    _algorithm_of(key)
    if not spki.startswith((P256_SPKI_HEAD, _ED25519_SPKI_HEAD)):
        raise Malformed("SubjectPublicKeyInfo that is not in its DER encoding")
    if isinstance(key, ed25519.Ed25519PublicKey) and key.public_bytes_raw() in SMALL_ORDER_POINTS:
        raise KeyRefused("The Ed25519 key is a point of small order.")
    return key


def sign1(
    signer: Signer,
    payload: bytes,
    *,
    chain: Sequence[bytes] = (),
    kid: bytes | None = None,
    external_aad: bytes = b"",
) -> bytes:
    """Sign `payload` as COSE_Sign1; `chain` (DER, leaf first) goes to the protected header as x5chain (RFC 9360)."""
    headers: dict[int, object] = {ALG: signer.algorithm}
    if kid is not None:
        headers[KID] = kid
    if chain:
        headers[X5CHAIN] = chain[0] if len(chain) == 1 else list(chain)
    protected = protected_header(headers)
    signature = signer.sign(signature_input(protected, payload, external_aad))
    return Sign1(protected, payload, signature).encode()


def verify1(message: Sign1, public_key: PublicKey, external_aad: bytes = b"") -> bytes:
    """Verify a COSE_Sign1 and return its payload.

    Raises `SignatureInvalid` if the algorithm isn't the key's or the signature doesn't hold.
    """
    if message.algorithm != _algorithm_of(public_key):
        raise SignatureInvalid("The signature's algorithm is not the key's.")
    data = signature_input(message.protected_bytes, message.payload, external_aad)
    verify_raw(public_key, message.signature, data)
    return message.payload


def verify_raw(public_key: PublicKey, signature: bytes, data: bytes) -> None:
    """Verify a signature in COSE's encoding over `data`, as `Signer.sign` makes it. Raises `SignatureInvalid`."""
    try:
        _verify(public_key, signature, data)
    except InvalidSignature as error:
        raise SignatureInvalid("The signature does not hold.") from error


def _verify(public_key: PublicKey, signature: bytes, data: bytes) -> None:
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        public_key.verify(signature, data)
        return
    if len(signature) != 2 * _P256_COORDINATE_BYTES:
        raise InvalidSignature
    r = int.from_bytes(signature[:_P256_COORDINATE_BYTES])
    s = int.from_bytes(signature[_P256_COORDINATE_BYTES:])
    public_key.verify(encode_dss_signature(r, s), data, ECDSA_SHA256)


def _algorithm_of(key: PublicKey) -> int:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return EDDSA
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ES256
    raise KeyRefused("Only P-256 and Ed25519 keys are accepted.")
