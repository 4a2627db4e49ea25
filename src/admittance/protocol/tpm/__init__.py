"""Proofs by a TPM 2.0: credential challenges, certified keys, quotes, endorsement keys and sessions."""
