"""What a device with a TPM does differently. Only `port.open_tpm` loads the TPM's library."""
