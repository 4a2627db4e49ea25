"""A recovery kit: a key on paper that lets a new app in, and locks a lost one out, when no app is left.

Its text, in Crockford's base32, is ``[version u8][epoch u32][device id 13][seed 16][device key 33][check 4]``. The
device's key is its compressed P-256 point, so whoever holds the kit needs to trust nobody for it; the check is the
start of a SHA-256 and finds typing errors.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import Malformed
from admittance.protocol.signing import load_public_key, spki_of
from admittance.wire import crockford
from admittance.wire.device_id import check_device_id

SEED_BYTES: Final = 16
GROUP: Final = 5

_VERSION: Final = b"\x01"
_EPOCH_BYTES: Final = 4
_ID_PREFIX: Final = "AD"
_ID_SYMBOLS: Final = 20
_ID_BYTES: Final = 13
_POINT_BYTES: Final = 33
_CHECK_BYTES: Final = 4
_ID_START: Final = 1 + _EPOCH_BYTES
_SEED_START: Final = _ID_START + _ID_BYTES
_POINT_START: Final = _SEED_START + SEED_BYTES
_BODY_BYTES: Final = _POINT_START + _POINT_BYTES
_LABEL: Final = b"admittance/recovery-kit/1"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_WIDE_BYTES: Final = 48


@dataclass(frozen=True)
class RecoveryKit:
    """`seed` is secret and makes the kit's key; `device_key` is the device's channel key (SubjectPublicKeyInfo)."""

    device_id: str
    epoch: int
    seed: bytes
    device_key: bytes

    def __repr__(self) -> str:
        return f"RecoveryKit(device_id={self.device_id!r})"

    def key(self) -> ec.EllipticCurvePrivateKey:
        """The kit's channel key: HKDF-SHA-256 of the seed, reduced into the curve's order (FIPS 186-5, A.2.1)."""
        info = _LABEL + self.device_id.encode()
        wide = HKDF(hashes.SHA256(), _WIDE_BYTES, salt=None, info=info).derive(self.seed)
        return ec.derive_private_key(int.from_bytes(wide) % (_ORDER - 1) + 1, ec.SECP256R1())

    def text(self) -> str:
        """For people, in groups."""
        symbols = crockford.encode(self._encode())
        return "-".join(symbols[start : start + GROUP] for start in range(0, len(symbols), GROUP))

    @classmethod
    def of_text(cls, text: str) -> "RecoveryKit":
        """Read a kit as a person types it, or a QR code holds it. Raises `Malformed`."""
        try:
            data = crockford.decode("".join(text.split()))
        except Malformed as error:
            raise Malformed(f"This is no recovery kit: {error}.") from None
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(body) != _BODY_BYTES or not body.startswith(_VERSION):
            raise Malformed("This is no recovery kit, or not all of it. Type every group.")
        if check != _check(body):
            raise Malformed("There is a typing error in the recovery kit. Compare it group by group.")
        return cls._of_body(body)

    @classmethod
    def _of_body(cls, body: bytes) -> "RecoveryKit":
        epoch, device = body[1:_ID_START], body[_ID_START:_SEED_START]
        seed, point = body[_SEED_START:_POINT_START], body[_POINT_START:]
        try:
            device_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError as error:
            raise Malformed("This recovery kit holds no device's key.") from error
        return cls(_read_id(device), int.from_bytes(epoch), seed, spki_of(device_key))

    def _encode(self) -> bytes:
        key = load_public_key(self.device_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Malformed("a device's channel key that is not of P-256")
        point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        body = _VERSION + self.epoch.to_bytes(_EPOCH_BYTES) + _write_id(self.device_id) + self.seed + point
        return body + _check(body)


def _write_id(device_id: str) -> bytes:
    """The 100 bits of a device id, and 4 zero bits."""
    symbols = check_device_id(device_id).removeprefix(_ID_PREFIX)
    return base64.b32decode(symbols + "AAAA")[:_ID_BYTES]


def _read_id(data: bytes) -> str:
    device_id = _ID_PREFIX + base64.b32encode(data + bytes(2))[:_ID_SYMBOLS].decode("ascii")
    if _write_id(device_id) != data:
        raise Malformed("This recovery kit names no device.")
    return device_id


def _check(body: bytes) -> bytes:
    return hashlib.sha256(_LABEL + body).digest()[:_CHECK_BYTES]
