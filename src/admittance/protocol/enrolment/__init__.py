"""Enrolment: requests with and without a TPM, their verification, key rules and reset reports."""

from admittance.protocol.enrolment.attested import VerifiedAttestation, build_attested_csr, verify_attested
from admittance.protocol.enrolment.request import (
    UnverifiedEnrolment,
    VerifiedEnrolment,
    build_request,
    read_request,
    sign_request,
)
from admittance.protocol.enrolment.reset import UnverifiedResetReport, build_reset_report, read_reset_report

__all__ = [
    "UnverifiedEnrolment",
    "UnverifiedResetReport",
    "VerifiedAttestation",
    "VerifiedEnrolment",
    "build_attested_csr",
    "build_request",
    "build_reset_report",
    "read_request",
    "read_reset_report",
    "sign_request",
    "verify_attested",
]
