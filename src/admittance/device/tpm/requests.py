"""Requests that the TPM attests: it answers a credential challenge, then certifies operational and identity key.

The attestation key is that of a label which the device drew at its first boot or latest reset, so a reset leaves
nothing by which the next owner's attestations could be linked to the last one's but the hardware itself.
"""

import asyncio
from collections.abc import Callable

from admittance.device.requests import Challenger, SignedRequest, Wanted
from admittance.device.tpm.port import DeviceTpm
from admittance.protocol.enrolment.attested import build_attested_csr
from admittance.protocol.enrolment.building import sign_request
from admittance.protocol.signing import Signer
from admittance.wire.enrolment import EnrolmentRequest, TpmProof
from admittance.wire.tpm_enrolment import CredentialChallenge, CredentialRequest


class TpmRequests:
    """With keys in the TPM; `label` gives the present label of the attestation key."""

    def __init__(self, tpm: DeviceTpm, identity: Signer, label: Callable[[], bytes]) -> None:
        self._tpm = tpm
        self._identity = identity
        self._label = label

    def make_key(self) -> bytes:
        return self._tpm.make_key()

    async def build(self, wanted: Wanted, challenger: Challenger) -> SignedRequest:
        label = self._label()
        challenge = await challenger.credential(await asyncio.to_thread(self._describe, wanted.device_id, label))
        return await asyncio.to_thread(self._answer, wanted, label, challenge)

    def _describe(self, device_id: str, label: bytes) -> CredentialRequest:
        ek_public, certificate = self._tpm.endorsement()
        return CredentialRequest(device_id, ek_public, [certificate], self._tpm.attestation_public(label))

    def _answer(self, wanted: Wanted, label: bytes, challenge: CredentialChallenge) -> SignedRequest:
        secret = self._tpm.activate(label, challenge.id_object, challenge.encrypted_secret)
        statements = self._tpm.attest(label, wanted.key, wanted.nonce, challenge.pcrs)
        operational = self._tpm.signer(wanted.key)
        request = EnrolmentRequest(
            nonce=wanted.nonce,
            device_id=wanted.device_id,
            epoch=wanted.epoch,
            ticket=wanted.ticket,
            csr=build_attested_csr(operational, wanted.device_id, statements),
            proof=TpmProof(challenge.challenge_id, secret),
            factor=wanted.factor,
        )
        return SignedRequest(sign_request(self._identity, request), operational.spki)
