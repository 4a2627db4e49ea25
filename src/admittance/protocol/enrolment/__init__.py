"""Enrolment: requests with and without a TPM, their verification, key rules and reset reports."""
