"""The device's side of a TPM session's proof (see `protocol.tpm.session`)."""

import asyncio

from admittance.device.tpm.port import DeviceTpm
from admittance.protocol.tpm.session import sign_session, signing_input
from admittance.wire.tpm_enrolment import CredentialChallenge


class TpmProver:
    """Proves, on one connection, that the enrolled operational key `kept` and the attestation key of `label` are in
    this TPM."""

    def __init__(self, tpm: DeviceTpm, *, device_id: str, epoch: int, label: bytes, kept: bytes) -> None:
        self._tpm = tpm
        self._device_id = device_id
        self._epoch = epoch
        self._label = label
        self._kept = kept

    @property
    def device_id(self) -> str:
        return self._device_id

    async def prove(
        self, challenge: CredentialChallenge, *, connection_nonce: bytes, server_certificate_sha256: bytes
    ) -> bytes:
        """The signature, 64 bytes. Raises `TpmUnavailable`, `TpmRefused`, or `TpmKeyLost` for a kept key that is not
        of this TPM."""
        return await asyncio.to_thread(self._prove, challenge, connection_nonce, server_certificate_sha256)

    def _prove(self, challenge: CredentialChallenge, connection_nonce: bytes, server: bytes) -> bytes:
        secret = self._tpm.activate(self._label, challenge.id_object, challenge.encrypted_secret)
        data = signing_input(
            secret=secret,
            connection_nonce=connection_nonce,
            server_certificate_sha256=server,
            device_id=self._device_id,
            epoch=self._epoch,
        )
        return sign_session(self._tpm.signer(self._kept), data)
