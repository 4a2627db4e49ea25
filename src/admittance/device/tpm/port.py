"""The TPM, as the device needs it."""

from typing import TYPE_CHECKING, Protocol

from admittance.protocol.signing import Signer

if TYPE_CHECKING:
    from admittance.wire.csr_attestation import TpmStatement


class DeviceTpm(Protocol):
    """The device's keys in its TPM. Every method raises `TpmUnavailable` or `TpmRefused`, and blocks."""

    def identity(self) -> Signer:
        """The identity key, which is the same for the life of the TPM."""

    def make_key(self) -> bytes:
        """A fresh operational key, as `signer` takes it."""

    def signer(self, kept: bytes) -> Signer:
        """The operational key that `make_key` made. This or its use raises `TpmKeyLost` if it is of another TPM, or
        from before this one was cleared."""

    def endorsement(self) -> tuple[bytes, bytes]:
        """The endorsement key (TPMT_PUBLIC) and its certificate (DER). Raises `ConfigurationError` without one."""

    def attestation_public(self, label: bytes) -> bytes:
        """The attestation key (TPMT_PUBLIC) of `label`, 32 bytes."""

    def activate(self, label: bytes, id_object: bytes, encrypted_secret: bytes) -> bytes:
        """The secret in a credential for the endorsement key and the attestation key of `label`."""

    def attest(self, label: bytes, kept: bytes, nonce: bytes, pcrs: str) -> "tuple[TpmStatement, ...]":
        """Statements by the attestation key of `label` over `nonce`: the operational key `kept`, the identity key,
        and a quote of `pcrs` (as in ``sha256:0,7``) unless that is empty."""


def open_tpm(tcti: str) -> DeviceTpm:
    """The TPM at `tcti`. Raises `ConfigurationError` if the TPM's library is not installed."""
    from admittance.tpm.keys import TpmKeys

    return TpmKeys(tcti)
