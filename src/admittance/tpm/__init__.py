"""A device's TPM 2.0 through the TPM2 Software Stack. Needs the extra `tpm`; nobody without a TPM imports it."""
