"""PKCS #10 requests that carry TPM attestation: draft-ietf-lamps-csr-attestation-29, RFC 2986.

The request has one attribute, `id-aa-attestation`, with one `AttestationBundle` of statements of the type
`tcg-attest-tpm-certify`. Nothing else is accepted: no other attribute, statement or certificate, no other encoding
than DER, no other signature than ECDSA with SHA-256. So nothing in a request goes unread.
"""

from dataclasses import dataclass
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from admittance.errors import Malformed

ID_AA_ATTESTATION = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.59")
TCG_ATTEST_TPM_CERTIFY = x509.ObjectIdentifier("2.23.133.20.1")
ECDSA_WITH_SHA256 = x509.ObjectIdentifier("1.2.840.10045.4.3.2")

MAX_REQUEST_BYTES = 4096
MAX_STATEMENTS = 3


@dataclass(frozen=True, slots=True)
class TpmStatement:
    """A TPMS_ATTEST, its TPMT_SIGNATURE and, for TPM2_Certify, the TPMT_PUBLIC of the certified object."""

    attest: bytes
    signature: bytes
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class AttestedRequest:
    """A request as it came in. `info` is what `signature` (DER) signs; `subject` and `spki` are DER."""

    info: bytes
    subject: bytes
    spki: bytes
    statements: tuple[TpmStatement, ...]
    signature: bytes


@asn1.sequence
class _TcgAttestTpmCertify:
    tpm_s_attest: bytes
    signature: bytes
    tpm_t_public: bytes | None


@asn1.sequence
class _AttestationStatement:
    type: x509.ObjectIdentifier
    stmt: _TcgAttestTpmCertify


@asn1.sequence
class _AttestationBundle:
    attestations: Annotated[list[_AttestationStatement], asn1.Size(1, MAX_STATEMENTS)]


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: Annotated[asn1.SetOf[_AttestationBundle], asn1.Size(1, 1)]


@asn1.sequence
class _RequestInfo:
    version: int
    subject: asn1.TLV
    spki: asn1.TLV
    attributes: Annotated[asn1.SetOf[_Attribute], asn1.Implicit(0), asn1.Size(1, 1)]


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: x509.ObjectIdentifier


@asn1.sequence
class _Request:
    info: _RequestInfo
    algorithm: _AlgorithmIdentifier
    signature: asn1.BitString


def encode_info(subject: bytes, spki: bytes, statements: tuple[TpmStatement, ...]) -> bytes:
    """The CertificationRequestInfo (DER) that the new key signs with ECDSA and SHA-256."""
    return asn1.encode_der(_info(subject, spki, statements))


def encode_request(subject: bytes, spki: bytes, statements: tuple[TpmStatement, ...], signature: bytes) -> bytes:
    """The request (DER); `signature` is an Ecdsa-Sig-Value (DER) over `encode_info` of the same values."""
    return asn1.encode_der(
        _Request(
            info=_info(subject, spki, statements),
            algorithm=_AlgorithmIdentifier(algorithm=ECDSA_WITH_SHA256),
            signature=asn1.BitString(signature, 0),
        )
    )


def decode_request(data: bytes) -> AttestedRequest:
    """Decode an attested request. Raises `Malformed`."""
    if len(data) > MAX_REQUEST_BYTES:
        raise Malformed("attested request that is too long")
    try:
        request = asn1.decode_der(_Request, data)
        canonical = asn1.encode_der(request)
        info = asn1.encode_der(request.info)
        subject, spki = asn1.encode_der(request.info.subject), asn1.encode_der(request.info.spki)
    except (ValueError, TypeError, OverflowError) as error:
        raise Malformed("not a PKCS #10 request with TPM attestation") from error
    if canonical != data:
        raise Malformed("attested request that is not in its DER encoding")
    [attribute] = request.info.attributes.as_list()
    [bundle] = attribute.values.as_list()
    if request.info.version != 0 or attribute.type != ID_AA_ATTESTATION:
        raise Malformed("attested request of another version, or with another attribute")
    if request.algorithm.algorithm != ECDSA_WITH_SHA256 or request.signature.padding_bits() != 0:
        raise Malformed("attested request that is not signed with ECDSA and SHA-256")
    if any(statement.type != TCG_ATTEST_TPM_CERTIFY for statement in bundle.attestations):
        raise Malformed("attestation statement of another type")
    statements = tuple(
        TpmStatement(statement.stmt.tpm_s_attest, statement.stmt.signature, statement.stmt.tpm_t_public)
        for statement in bundle.attestations
    )
    return AttestedRequest(info, subject, spki, statements, request.signature.as_bytes())


def _info(subject: bytes, spki: bytes, statements: tuple[TpmStatement, ...]) -> _RequestInfo:
    bundle = _AttestationBundle(
        attestations=[
            _AttestationStatement(
                type=TCG_ATTEST_TPM_CERTIFY,
                stmt=_TcgAttestTpmCertify(
                    tpm_s_attest=statement.attest, signature=statement.signature, tpm_t_public=statement.public
                ),
            )
            for statement in statements
        ]
    )
    attribute = _Attribute(type=ID_AA_ATTESTATION, values=asn1.SetOf([bundle]))
    return _RequestInfo(
        version=0,
        subject=asn1.decode_der(asn1.TLV, subject),
        spki=asn1.decode_der(asn1.TLV, spki),
        attributes=asn1.SetOf([attribute]),
    )
