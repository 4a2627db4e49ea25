"""Certificate requests that a TPM attests: how a device builds one, and how the server checks it.

The bundle holds, in this order: TPM2_Certify of the operational key, TPM2_Certify of the identity key, and, where the
model has PCR reference values, TPM2_Quote. All are signed by the attestation key that a credential challenge bound to
the endorsement key, and all carry the server's nonce.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from admittance.errors import AttestationMissing, KeyRefused, Misuse, SignatureInvalid, WrongDevice
from admittance.protocol.enrolment import key_rules
from admittance.protocol.signing import ECDSA_SHA256, Signer
from admittance.protocol.tpm.certify import AttestationKey, CertifiedKey, check_attestation_key, verify_certified
from admittance.protocol.tpm.quote import PcrPolicy, verify_quote
from admittance.wire.cose import ES256
from admittance.wire.csr_attestation import (
    AttestedRequest,
    TpmStatement,
    decode_request,
    encode_info,
    encode_request,
)
from admittance.wire.device_id import device_id as device_id_of
from admittance.wire.tpm.attest import Attest, QuoteInfo
from admittance.wire.tpm.public import Public


@dataclass(frozen=True, slots=True)
class VerifiedAttestation:
    """What a TPM proved about a request. Clock and firmware version are the TPM's own account of itself.

    `pcr_selections` is empty and `pcr_digest` None where the model has no reference values.
    """

    operational_spki: bytes
    operational_name: bytes
    identity_name: bytes
    ak_name: bytes
    firmware_version: int
    clock_ms: int
    reset_count: int
    restart_count: int
    pcr_selections: str = ""
    pcr_digest: bytes | None = None


def build_attested_csr(operational: Signer, device_id: str, statements: Sequence[TpmStatement]) -> bytes:
    """The attested request (DER). `operational` is the new key in the TPM; it signs the request here.

    `statements` are, in order, the certified operational key, the certified identity key and, where the server has
    reference values, the quote.
    """
    if operational.algorithm != ES256:
        raise Misuse("an attested request is for a P-256 key")
    subject, bundle = subject_of(device_id), tuple(statements)
    raw = operational.sign(encode_info(subject, operational.spki, bundle))
    half = len(raw) // 2
    signature = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    return encode_request(subject, operational.spki, bundle, signature)


def subject_of(device_id: str) -> bytes:
    """The request's subject (DER): the device id as common name, a UTF8String."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)]).public_bytes()


def verify_attested(
    csr: bytes, *, nonce: bytes, ak_public: Public, identity_spki: bytes, pcr_policy: PcrPolicy | None
) -> VerifiedAttestation:
    """Check an attested request whole: its own signature, subject and key, and every statement in it.

    `nonce` is the enrolment nonce (32 bytes), `ak_public` the attestation key that a credential challenge bound to
    the device's endorsement key, `pcr_policy` the model's reference values or None, and then there must be no quote.
    Raises `Malformed`, `SignatureInvalid`, `KeyRefused`, `WrongDevice` or a subclass of `AttestationRefused`.
    """
    request = decode_request(csr)
    _check_request(request, identity_spki)
    ak = check_attestation_key(ak_public)
    operational, identity, quoted = _ordered(request.statements, pcr_policy)

    def certified(statement: TpmStatement, spki: bytes) -> tuple[CertifiedKey, Attest]:
        if statement.public is None:
            raise AttestationMissing("A certified key comes without its public area.")
        return verify_certified(
            attest=statement.attest,
            signature=statement.signature,
            public=statement.public,
            ak=ak,
            nonce=nonce,
            spki=spki,
        )

    operational_key, attest = certified(operational, request.spki)
    identity_key, _ = certified(identity, identity_spki)
    quote = _quote(quoted, nonce, ak, pcr_policy)
    return VerifiedAttestation(
        operational_spki=request.spki,
        operational_name=operational_key.name,
        identity_name=identity_key.name,
        ak_name=ak_public.name,
        firmware_version=attest.firmware_version,
        clock_ms=attest.clock_info.clock,
        reset_count=attest.clock_info.reset_count,
        restart_count=attest.clock_info.restart_count,
        pcr_selections="" if quote is None else str(quote.selections),
        pcr_digest=None if quote is None else quote.pcr_digest,
    )


def _check_request(request: AttestedRequest, identity_spki: bytes) -> None:
    key = key_rules.check(request.spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyRefused("Only a P-256 key can be attested by a TPM.")
    key_rules.check_distinct(request.spki, identity_spki)
    if not hmac.compare_digest(request.subject, subject_of(device_id_of(identity_spki))):
        raise WrongDevice("The request's subject is not the device id of its identity key.")
    try:
        key.verify(request.signature, request.info, ECDSA_SHA256)
    except InvalidSignature as error:
        raise SignatureInvalid("The request is not signed by the key that it asks a certificate for.") from error


def _ordered(
    statements: tuple[TpmStatement, ...], policy: PcrPolicy | None
) -> tuple[TpmStatement, TpmStatement, TpmStatement | None]:
    expected = 2 if policy is None else 3
    if len(statements) != expected:
        raise AttestationMissing(f"{expected} attestation statements are expected, and {len(statements)} came.")
    quoted = None if policy is None else statements[2]
    return statements[0], statements[1], quoted


def _quote(
    statement: TpmStatement | None, nonce: bytes, ak: AttestationKey, policy: PcrPolicy | None
) -> QuoteInfo | None:
    if statement is None or policy is None:
        return None
    if statement.public is not None:
        raise AttestationMissing("A quote comes with a public area, so it is something else.")
    quote, _ = verify_quote(attest=statement.attest, signature=statement.signature, ak=ak, nonce=nonce, policy=policy)
    return quote
