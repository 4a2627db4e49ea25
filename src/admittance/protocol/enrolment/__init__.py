"""Enrolment without a TPM: requests, their verification, key rules and reset reports."""

from admittance.protocol.enrolment.request import (
    UnverifiedEnrolment,
    VerifiedEnrolment,
    build_request,
    read_request,
)
from admittance.protocol.enrolment.reset import UnverifiedResetReport, build_reset_report, read_reset_report

__all__ = [
    "UnverifiedEnrolment",
    "UnverifiedResetReport",
    "VerifiedEnrolment",
    "build_request",
    "build_reset_report",
    "read_request",
    "read_reset_report",
]
