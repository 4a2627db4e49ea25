"""TPMT_SIGNATURE: ECDSA and RSASSA, and no others."""

from dataclasses import dataclass
from struct import Struct

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import Reader, sized, uint16

_HEAD = Struct(">HH")


@dataclass(frozen=True, slots=True)
class EcdsaSignature:
    """TPMS_SIGNATURE_ECDSA (part 2, section 11.3.2); `r` and `s` are padded to the size of the curve's order."""

    hash: int
    r: bytes
    s: bytes

    def encode(self) -> bytes:
        return uint16(alg.ECDSA) + uint16(self.hash) + sized(self.r) + sized(self.s)


@dataclass(frozen=True, slots=True)
class RsassaSignature:
    """TPMS_SIGNATURE_RSASSA (part 2, section 11.3.1); `signature` has the size of the modulus."""

    hash: int
    signature: bytes

    def encode(self) -> bytes:
        return uint16(alg.RSASSA) + uint16(self.hash) + sized(self.signature)


def decode_signature(data: bytes) -> EcdsaSignature | RsassaSignature:
    """Decode a TPMT_SIGNATURE (part 2, section 11.3.4). Raises `Malformed`."""
    reader = Reader(data, "TPMT_SIGNATURE")
    algorithm, hash_alg = reader.unpack(_HEAD)
    alg.check_hash(hash_alg)
    signature: EcdsaSignature | RsassaSignature
    if algorithm == alg.ECDSA:
        signature = _ecdsa(reader, hash_alg)
    elif algorithm == alg.RSASSA:
        signature = _rsassa(reader, hash_alg)
    else:
        raise Malformed(f"TPMT_SIGNATURE of algorithm {algorithm:#06x}, which is not allowed")
    reader.finish()
    return signature


def _ecdsa(reader: Reader, hash_alg: int) -> EcdsaSignature:
    r, s = reader.sized(alg.MAX_COORDINATE_BYTES), reader.sized(alg.MAX_COORDINATE_BYTES)
    if len(r) != len(s) or len(r) not in alg.COORDINATE_BYTES.values():
        raise Malformed("TPMT_SIGNATURE whose integers are not padded to a curve")
    return EcdsaSignature(hash_alg, r, s)


def _rsassa(reader: Reader, hash_alg: int) -> RsassaSignature:
    signature = reader.sized(alg.MAX_RSA_BYTES)
    if len(signature) * 8 not in alg.RSA_KEY_BITS:
        raise Malformed("TPMT_SIGNATURE whose size is of no allowed RSA key")
    return RsassaSignature(hash_alg, signature)
