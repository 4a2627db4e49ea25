"""TPM public areas as keys, and the signatures of attestation keys."""

import hmac
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from admittance.errors import Malformed, SignatureInvalid
from admittance.protocol.signing import P256_SPKI_HEAD
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import HASHES, EccParameters, Public, RsaParameters
from admittance.wire.tpm.signature import EcdsaSignature, RsassaSignature, decode_signature

TpmKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_EXPONENT = 65537
_CURVES: dict[int, ec.EllipticCurve] = {alg.NIST_P256: ec.SECP256R1(), alg.NIST_P384: ec.SECP384R1()}


def load(public: Public) -> TpmKey:
    """The key of a public area. Raises `Malformed` if it is no point of its curve, or no RSA modulus."""
    parameters = public.parameters
    try:
        if isinstance(parameters, RsaParameters):
            return rsa.RSAPublicNumbers(_EXPONENT, int.from_bytes(parameters.modulus)).public_key()
        point = b"\x04" + parameters.x + parameters.y
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[parameters.curve], point)
    except ValueError as error:
        raise Malformed("TPMT_PUBLIC with a key that is none") from error


def spki(public: Public) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a public area. Raises `Malformed`."""
    return load(public).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def is_key(public: Public, p256_spki: bytes) -> bool:
    """Whether the key is the one of `p256_spki`, a P-256 key's SubjectPublicKeyInfo in its one DER encoding."""
    parameters = public.parameters
    if not isinstance(parameters, EccParameters) or parameters.curve != alg.NIST_P256:
        return False
    return hmac.compare_digest(P256_SPKI_HEAD + parameters.x + parameters.y, p256_spki)


def verify_signature(signer: Public, key: TpmKey, data: bytes, signature: bytes) -> None:
    """Check a TPMT_SIGNATURE by `key`, which `load` gave for `signer`, whose public area fixes its scheme.

    Raises `Malformed` if the signature doesn't decode, and `SignatureInvalid` if its scheme or hash isn't the key's
    or it doesn't hold.
    """
    decoded = decode_signature(signature)
    scheme = signer.parameters.scheme
    algorithm = alg.ECDSA if isinstance(decoded, EcdsaSignature) else alg.RSASSA
    if scheme is None or (scheme.algorithm, scheme.hash) != (algorithm, decoded.hash):
        raise SignatureInvalid("The attestation is signed by another scheme than its key has.")
    try:
        _verify(key, decoded, data)
    except InvalidSignature as error:
        raise SignatureInvalid("The attestation's signature does not hold.") from error


def _verify(key: TpmKey, signature: EcdsaSignature | RsassaSignature, data: bytes) -> None:
    algorithm = HASHES[signature.hash]
    match key, signature:
        case ec.EllipticCurvePublicKey(), EcdsaSignature(r=r, s=s) if len(r) * 8 == key.curve.key_size:
            der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
            key.verify(der, data, ec.ECDSA(algorithm))
        case rsa.RSAPublicKey(), RsassaSignature(signature=raw):
            key.verify(raw, data, padding.PKCS1v15(), algorithm)
        case _:
            raise InvalidSignature
