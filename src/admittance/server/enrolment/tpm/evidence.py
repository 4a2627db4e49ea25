"""The evidence behind a certificate, as people read it."""

from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import Row

from admittance.protocol.enrolment.request import read_request
from admittance.wire import base64url, cbor
from admittance.wire.csr_attestation import decode_request
from admittance.wire.tpm.public import Public

_STATEMENTS = ("operational key", "identity key", "platform")


def shown_evidence(attestation: Row[Any], signed_request: bytes) -> dict[str, Any]:
    """Findings, certificates and statements of a row of `find_attestation`; bytes as base64url.

    `signed_request` is the request that is stored with the certificate.
    """
    chain = [x509.load_der_x509_certificate(each) for each in _chain(attestation.ek_chain)]
    statements = decode_request(read_request(signed_request).request.csr).statements
    return {
        **msgspec.json.decode(attestation.findings),
        "decision": "issued",
        "nonce": base64url.encode(attestation.nonce),
        "ek_public": base64url.encode(attestation.ek_public),
        "ek_chain": [_shown_certificate(each) for each in chain],
        "ak_public": base64url.encode(attestation.ak_public),
        "ak_name": Public.decode(attestation.ak_public).name.hex(),
        "statements": [
            {
                "about": about,
                "attest": base64url.encode(statement.attest),
                "signature": base64url.encode(statement.signature),
                "public": None if statement.public is None else base64url.encode(statement.public),
            }
            for about, statement in zip(_STATEMENTS, statements, strict=False)
        ],
    }


def _chain(encoded: bytes) -> list[bytes]:
    decoded = cbor.decode(encoded)
    return [each for each in decoded if isinstance(each, bytes)] if isinstance(decoded, list) else []


def _shown_certificate(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "not_after_at": int(certificate.not_valid_after_utc.timestamp()),
    }
