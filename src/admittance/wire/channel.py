"""Channel credentials, the entries of a device's list of them, and admissions (see `docs/protocol/channel.md`).

A credential travels as the SubjectPublicKeyInfo (DER) of a P-256 key; EDHOC uses it as a CWT Claims Set with that
key in it (CCS; RFC 9528, section 3.5.2), which both sides derive.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from admittance.errors import KeyRefused, Malformed
from admittance.wire import cbor
from admittance.wire.message import Bytes16, Message, Unsigned, Word

Role = Literal["owner", "guest", "recovery", "server"]

KID_BYTES = 8
MAX_PERMISSIONS = 16

# Methods as bits (RFC 9237, section 3).
GET = 1
POST = 2
PUT = 4
DELETE = 8
FETCH = 16

Spki = Annotated[bytes, Meta(max_length=200)]
Path = Annotated[str, Meta(max_length=128, pattern=r"\A/")]

_CNF = 8
_COSE_KEY = 1
_KTY, _KID, _CRV, _X, _Y = 1, 2, -1, -2, -3
_EC2 = 2
_P256 = 1
_COORDINATE_BYTES = 32
# The head of the one DER encoding of a P-256 key, up to its uncompressed point (RFC 5480, section 2).
_SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


@dataclass(frozen=True, slots=True)
class Credential:
    """A public key that authenticates one end of a channel.

    `value` is the CCS ``{8: {1: {1: 2, 2: kid, -1: 1, -2: x, -3: y}}}`` in deterministic CBOR; `kid` (8 bytes) is the
    start of SHA-256 over `spki`.
    """

    spki: bytes
    kid: bytes
    value: bytes

    @classmethod
    def from_spki(cls, spki: bytes) -> "Credential":
        """The credential of a key. Raises `Malformed` if `spki` doesn't decode or isn't in its one DER encoding,
        and `KeyRefused` if it isn't a P-256 key."""
        return _credential(bytes(spki))


class Permission(Message, frozen=True):
    """Methods (bits of `GET` to `FETCH`) that are allowed on `path`, as AIF has it (RFC 9237).

    A path that ends in ``/*`` covers everything below it.
    """

    path: Path
    methods: Annotated[int, Meta(ge=1, le=31)]


class Entry(Message, frozen=True):
    """A credential that a device talks to.

    `spki` is the channel key; `signing` the key (SubjectPublicKeyInfo, P-256) with which an owner countersigns
    admissions, empty if there is none. `expires_at` is a Unix time, 0 for never. An owner has an empty `scope` and
    may do everything that is an owner's to do.
    """

    spki: Spki
    signing: Spki
    role: Role
    epoch: Unsigned
    name: Word
    expires_at: Unsigned
    scope: Annotated[tuple[Permission, ...], Meta(max_length=MAX_PERMISSIONS)]

    @property
    def kid(self) -> bytes:
        """The id of the credential, 8 bytes."""
        return kid_of(self.spki)


class Admission(Message, frozen=True, tag="admittance/admission/1"):
    """An owner's statement that a device shall list `entry`; the payload of a COSE_Sign1 by the owner's signing key.

    `serial` is random; `issued_at` is a Unix time of the owner's clock.
    """

    device_id: Word
    serial: Bytes16
    entry: Entry
    issued_at: Unsigned


def kid_of(spki: bytes) -> bytes:
    """The id of the credential with this key, 8 bytes."""
    return sha256(spki).digest()[:KID_BYTES]


@lru_cache(64)
def _credential(spki: bytes) -> Credential:
    try:
        key = serialization.load_der_public_key(spki)
    except UnsupportedAlgorithm as error:
        raise KeyRefused("A channel key must be a P-256 key.") from error
    except (ValueError, TypeError) as error:
        raise Malformed("not a SubjectPublicKeyInfo") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyRefused("A channel key must be a P-256 key.")
    if not spki.startswith(_SPKI_HEAD):
        raise Malformed("SubjectPublicKeyInfo that is not in its DER encoding")
    point = spki.removeprefix(_SPKI_HEAD)
    kid = kid_of(spki)
    cose_key = {_KTY: _EC2, _KID: kid, _CRV: _P256, _X: point[:_COORDINATE_BYTES], _Y: point[_COORDINATE_BYTES:]}
    return Credential(spki, kid, cbor.encode({_CNF: {_COSE_KEY: cose_key}}))
