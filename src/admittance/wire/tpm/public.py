"""TPMT_PUBLIC: the public area of an RSA or ECC key, its attributes and its name."""

import hashlib
from dataclasses import dataclass
from enum import IntFlag
from struct import Struct

from cryptography.hazmat.primitives import hashes

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import Reader, sized, uint16, uint32


class Attributes(IntFlag):
    """TPMA_OBJECT (part 2, section 8.3). The other bits are reserved and must be clear."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


_DEFINED_ATTRIBUTES = sum(Attributes)
_HEAD = Struct(">HHI")
_TWO = Struct(">HH")


@dataclass(frozen=True, slots=True)
class Symmetric:
    """TPMT_SYM_DEF_OBJECT: AES in CFB mode, the cipher of a storage key; `key_bits` is 128 or 256."""

    key_bits: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """TPMT_RSA_SCHEME or TPMT_ECC_SCHEME of a signing key: RSASSA or ECDSA with a hash."""

    algorithm: int
    hash: int


@dataclass(frozen=True, slots=True)
class RsaParameters:
    """`modulus` has exactly `key_bits`; the exponent is 65537, which the TPM writes as 0."""

    symmetric: Symmetric | None
    scheme: Scheme | None
    key_bits: int
    modulus: bytes


@dataclass(frozen=True, slots=True)
class EccParameters:
    """`x` and `y` are padded to the size of the curve's prime (part 1, section C.8)."""

    symmetric: Symmetric | None
    scheme: Scheme | None
    curve: int
    x: bytes
    y: bytes


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC (part 2, section 12.2.4). `auth_policy` is empty or a digest of `name_alg`."""

    name_alg: int
    attributes: Attributes
    auth_policy: bytes
    parameters: RsaParameters | EccParameters

    @classmethod
    def decode(cls, data: bytes) -> "Public":
        """Decode a public area. Raises `Malformed`."""
        reader = Reader(data, "TPMT_PUBLIC")
        kind, name_alg, attributes = reader.unpack(_HEAD)
        alg.check_hash(name_alg)
        if attributes & ~_DEFINED_ATTRIBUTES:
            raise Malformed("TPMT_PUBLIC with reserved attributes")
        auth_policy = reader.sized(alg.MAX_DIGEST_BYTES)
        if len(auth_policy) not in (0, alg.DIGEST_BYTES[name_alg]):
            raise Malformed("TPMT_PUBLIC with a policy that is not a digest of its name algorithm")
        parameters = _parameters(reader, kind)
        reader.finish()
        return cls(name_alg, Attributes(attributes), auth_policy, parameters)

    def encode(self) -> bytes:
        parameters = self.parameters
        kind = alg.RSA if isinstance(parameters, RsaParameters) else alg.ECC
        head = uint16(kind) + uint16(self.name_alg) + uint32(self.attributes) + sized(self.auth_policy)
        common = _encoded_symmetric(parameters.symmetric) + _encoded_scheme(parameters.scheme)
        if isinstance(parameters, RsaParameters):
            return head + common + uint16(parameters.key_bits) + uint32(0) + sized(parameters.modulus)
        curve = uint16(parameters.curve) + uint16(alg.NULL)
        return head + common + curve + sized(parameters.x) + sized(parameters.y)

    @property
    def name(self) -> bytes:
        """The object's name: name algorithm, then the digest of the public area (part 1, section 16)."""
        return name_of(self, self.encode())


def name_of(public: Public, encoded: bytes) -> bytes:
    """The name of the object that `encoded` is the encoding of."""
    return uint16(public.name_alg) + digest(public.name_alg, encoded)


def digest(hash_alg: int, data: bytes) -> bytes:
    """The digest of `data` with one of the allowed hashes."""
    return hashlib.new(HASHES[hash_alg].name, data).digest()


HASHES: dict[int, hashes.HashAlgorithm] = {
    alg.SHA256: hashes.SHA256(),
    alg.SHA384: hashes.SHA384(),
    alg.SHA512: hashes.SHA512(),
}


def _parameters(reader: Reader, kind: int) -> RsaParameters | EccParameters:
    if kind == alg.RSA:
        return _rsa(reader)
    if kind == alg.ECC:
        return _ecc(reader)
    raise Malformed(f"TPMT_PUBLIC of type {kind:#06x}, which is not allowed")


def _rsa(reader: Reader) -> RsaParameters:
    symmetric, scheme = _symmetric(reader), _scheme(reader, alg.RSASSA)
    key_bits, exponent = reader.uint16(), reader.uint32()
    if key_bits not in alg.RSA_KEY_BITS or exponent != 0:
        raise Malformed("TPMT_PUBLIC with an RSA size or exponent that is not allowed")
    modulus = reader.sized(alg.MAX_RSA_BYTES)
    if int.from_bytes(modulus).bit_length() != key_bits or len(modulus) * 8 != key_bits:
        raise Malformed("TPMT_PUBLIC with a modulus of another size than it says")
    return RsaParameters(symmetric, scheme, key_bits, modulus)


def _ecc(reader: Reader) -> EccParameters:
    symmetric, scheme = _symmetric(reader), _scheme(reader, alg.ECDSA)
    curve, kdf = reader.unpack(_TWO)
    if curve not in alg.COORDINATE_BYTES or kdf != alg.NULL:
        raise Malformed("TPMT_PUBLIC with a curve or a key derivation that is not allowed")
    x, y = reader.sized(alg.MAX_COORDINATE_BYTES), reader.sized(alg.MAX_COORDINATE_BYTES)
    if len(x) != alg.COORDINATE_BYTES[curve] or len(y) != alg.COORDINATE_BYTES[curve]:
        raise Malformed("TPMT_PUBLIC with a coordinate that is not padded to its curve")
    return EccParameters(symmetric, scheme, curve, x, y)


def _symmetric(reader: Reader) -> Symmetric | None:
    algorithm = reader.uint16()
    if algorithm == alg.NULL:
        return None
    key_bits, mode = reader.unpack(_TWO)
    if algorithm != alg.AES or key_bits not in (128, 256) or mode != alg.CFB:
        raise Malformed("TPMT_PUBLIC with a symmetric cipher that is not allowed")
    return Symmetric(key_bits)


def _scheme(reader: Reader, allowed: int) -> Scheme | None:
    algorithm = reader.uint16()
    if algorithm == alg.NULL:
        return None
    if algorithm != allowed:
        raise Malformed(f"TPMT_PUBLIC with scheme {algorithm:#06x}, which is not allowed")
    return Scheme(algorithm, alg.check_hash(reader.uint16()))


def _encoded_symmetric(symmetric: Symmetric | None) -> bytes:
    if symmetric is None:
        return uint16(alg.NULL)
    return uint16(alg.AES) + uint16(symmetric.key_bits) + uint16(alg.CFB)


def _encoded_scheme(scheme: Scheme | None) -> bytes:
    return uint16(alg.NULL) if scheme is None else uint16(scheme.algorithm) + uint16(scheme.hash)
