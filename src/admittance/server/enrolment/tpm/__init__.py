"""Enrolment with a TPM: credential challenges, endorsement keys, attested requests and TPM sessions."""
