"""TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET: the two parts of a credential challenge."""

from dataclasses import dataclass

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import Reader, sized

_MAX_IDENTITY_BYTES = 2 + alg.MAX_DIGEST_BYTES
_MAX_ID_OBJECT_BYTES = 2 + alg.MAX_DIGEST_BYTES + _MAX_IDENTITY_BYTES


@dataclass(frozen=True, slots=True)
class IdObject:
    """TPMS_ID_OBJECT (part 2, section 12.4.2) as TPM2B_ID_OBJECT: HMAC, and the encrypted TPM2B_DIGEST."""

    integrity: bytes
    identity: bytes

    @classmethod
    def decode(cls, data: bytes) -> "IdObject":
        """Decode a TPM2B_ID_OBJECT. Raises `Malformed`."""
        outer = Reader(data, "TPM2B_ID_OBJECT")
        content = outer.sized(_MAX_ID_OBJECT_BYTES)
        outer.finish()
        reader = Reader(content, "TPMS_ID_OBJECT")
        integrity = reader.sized(alg.MAX_DIGEST_BYTES)
        identity = content[2 + len(integrity) :]
        if len(integrity) not in alg.DIGEST_BYTES.values() or not 2 < len(identity) <= _MAX_IDENTITY_BYTES:
            raise Malformed("TPMS_ID_OBJECT with an HMAC or an identity of the wrong size")
        return cls(integrity, identity)

    def encode(self) -> bytes:
        return sized(sized(self.integrity) + self.identity)


@dataclass(frozen=True, slots=True)
class EncryptedPoint:
    """TPM2B_ENCRYPTED_SECRET for an ECC key: the ephemeral point, coordinates padded to their curve."""

    x: bytes
    y: bytes

    def encode(self) -> bytes:
        return sized(sized(self.x) + sized(self.y))


@dataclass(frozen=True, slots=True)
class EncryptedSeed:
    """TPM2B_ENCRYPTED_SECRET for an RSA key: the seed under RSAES-OAEP, as long as the modulus."""

    ciphertext: bytes

    def encode(self) -> bytes:
        return sized(self.ciphertext)


def decode_encrypted_secret(data: bytes) -> EncryptedPoint | EncryptedSeed:
    """Decode a TPM2B_ENCRYPTED_SECRET (part 2, section 11.4.3). Raises `Malformed`."""
    outer = Reader(data, "TPM2B_ENCRYPTED_SECRET")
    content = outer.sized(alg.MAX_RSA_BYTES)
    outer.finish()
    if len(content) * 8 in alg.RSA_KEY_BITS:
        return EncryptedSeed(content)
    reader = Reader(content, "TPMS_ECC_POINT")
    x, y = reader.sized(alg.MAX_COORDINATE_BYTES), reader.sized(alg.MAX_COORDINATE_BYTES)
    reader.finish()
    if len(x) != len(y) or len(x) not in alg.COORDINATE_BYTES.values():
        raise Malformed("TPMS_ECC_POINT with coordinates that are not padded to a curve")
    return EncryptedPoint(x, y)
