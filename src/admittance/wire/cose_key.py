"""COSE keys (RFC 9052, section 7; RFC 9053, section 7): P-256 public keys, and symmetric ones."""

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import KeyRefused, Malformed

MAX_KID_BYTES = 32

_KTY, _KID = 1, 2
_EC2, _SYMMETRIC = 2, 4
_CRV, _X, _Y = -1, -2, -3
_P256 = 1
_K = -1
_COORDINATE_BYTES = 32
_UNCOMPRESSED = b"\x04"


@dataclass(frozen=True, slots=True)
class PublicCoseKey:
    """A P-256 public key. `spki` is its SubjectPublicKeyInfo (DER); `kid` is empty where the key has no id."""

    spki: bytes
    kid: bytes = b""


@dataclass(frozen=True, slots=True)
class SymmetricCoseKey:
    """A symmetric key `k`, named by `kid`."""

    k: bytes = field(repr=False)
    kid: bytes


CoseKey = PublicCoseKey | SymmetricCoseKey


def to_map(key: CoseKey) -> dict[int, object]:
    """The COSE_Key map of `key`. Raises `KeyRefused` unless a public key is a P-256 key."""
    named: dict[int, object] = {_KID: key.kid} if key.kid else {}
    if isinstance(key, SymmetricCoseKey):
        return {_KTY: _SYMMETRIC, **named, _K: key.k}
    x, y = _coordinates(key.spki)
    return {_KTY: _EC2, **named, _CRV: _P256, _X: x, _Y: y}


def from_map(value: object) -> CoseKey:
    """The key in a COSE_Key map. Raises `Malformed`, also for a private key, and `KeyRefused` for other curves."""
    match value:
        case {1: 2, -1: 1, -2: bytes(x), -3: bytes(y), **rest}:
            return PublicCoseKey(_spki(x, y), _only_kid(rest))
        case {1: 4, -1: bytes(k), **rest} if k:
            return SymmetricCoseKey(k, _only_kid(rest))
        case {1: 2, -1: int()}:
            raise KeyRefused("A COSE key must be on P-256, with both coordinates.")
    raise Malformed("not a COSE key that is used here")


def _only_kid(rest: dict[object, object]) -> bytes:
    kid = rest.pop(_KID, b"")
    if rest or not isinstance(kid, bytes) or len(kid) > MAX_KID_BYTES:
        raise Malformed("a COSE key with parameters that are not used here")
    return kid


def _coordinates(spki: bytes) -> tuple[bytes, bytes]:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused("not a P-256 key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyRefused("not a P-256 key")
    numbers = key.public_numbers()
    return numbers.x.to_bytes(_COORDINATE_BYTES), numbers.y.to_bytes(_COORDINATE_BYTES)


def _spki(x: bytes, y: bytes) -> bytes:
    if (len(x), len(y)) != (_COORDINATE_BYTES, _COORDINATE_BYTES):
        raise Malformed("a COSE key whose coordinates have the wrong size")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _UNCOMPRESSED + x + y)
    except ValueError as error:
        raise Malformed("a COSE key that is no point of P-256") from error
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
