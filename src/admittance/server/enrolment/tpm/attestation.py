"""What an enrolment request must prove about the device's TPM, and the evidence that is kept of it.

A device needs its TPM's word if its model asks for that, or once it has given it. Any other device may give it, and
is of assurance ``tpm`` from then on.
"""

import hmac
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AlreadyUsed, AttestationMissing, AuthenticationFailed, EkRefused, Expired
from admittance.protocol.enrolment.attested import VerifiedAttestation
from admittance.protocol.enrolment.request import UnverifiedEnrolment, VerifiedEnrolment
from admittance.server.database import Database
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import DeviceRecord
from admittance.server.enrolment.model import UNIFORM, Refusal
from admittance.server.enrolment.tpm import store
from admittance.server.enrolment.tpm.credentials import ChallengeSecrets
from admittance.wire.enrolment import TpmProof
from admittance.wire.tpm.public import Public

CHECKS = (
    "the endorsement key's certificate leads to a trusted maker of TPMs, and is for this endorsement key",
    "the endorsement key is this device's, and no other device's",
    "the TPM of the endorsement key holds the attestation key: it answered the credential challenge",
    "that TPM holds the identity key, certified over this server's nonce",
    "that TPM made and holds the operational key, certified over this server's nonce",
)
CHECKED_PCRS = "the platform booted what the model's reference values say, quoted over this server's nonce"


@dataclass(frozen=True)
class Answered:
    """A credential challenge that was answered with its secret: row of `credential_challenges`."""

    challenge: Row[Any]


class Attestations:
    """Verifies requests that a TPM attests, and keeps what they prove."""

    def __init__(self, *, database: Database, catalogue: Catalogue, secrets: ChallengeSecrets) -> None:
        self._database = database
        self._catalogue = catalogue
        self._secrets = secrets

    async def verify(
        self, unverified: UnverifiedEnrolment, identity_spki: bytes, model: str, nonce: bytes
    ) -> tuple[VerifiedEnrolment, Answered | None]:
        """Verify a request, with its attestation if it carries a proof; whether one is needed is for `admit`.

        Raises what `UnverifiedEnrolment.verify` and `.verify_attested` raise, and `AuthenticationFailed` if the
        credential challenge is unknown, another device's, or its secret wrong.
        """
        proof = unverified.request.proof
        if proof is None:
            return unverified.verify(identity_spki, nonce), None
        answered = await self._answered(proof, unverified.request.device_id)
        known = self._catalogue.find(model)
        verified = unverified.verify_attested(
            identity_spki,
            nonce,
            ak_public=Public.decode(answered.challenge.ak_public),
            pcr_policy=None if known is None else known.pcrs,
        )
        return verified, answered

    async def admit(
        self, connection: AsyncConnection, record: DeviceRecord, answered: Answered | None, now: float
    ) -> Refusal | None:
        """Use the challenge up and bind its endorsement key to the locked device; None if all is right."""
        if answered is None:
            return _NEEDED if await self._is_needed(connection, record) else None
        challenge = answered.challenge
        if not await store.use_challenge(connection, challenge.challenge_id, int(now)):
            return _CHALLENGE_OVER if challenge.expires_at <= now else _CHALLENGE_USED
        is_own = await store.bind_endorsement(
            connection,
            record.registry_key,
            challenge.ek_sha256,
            challenge.ek_public,
            challenge.ak_public,
            int(now),
        )
        return None if is_own else _ANOTHER_EK

    async def keep(
        self,
        connection: AsyncConnection,
        serial: str,
        answered: Answered,
        nonce: bytes,
        attestation: VerifiedAttestation,
    ) -> None:
        """Store what was proved, beside the certificate that it led to."""
        findings = {name: _shown(value) for name, value in asdict(attestation).items()}
        checks = [*CHECKS, CHECKED_PCRS] if attestation.pcr_digest is not None else list(CHECKS)
        encoded = msgspec.json.encode({"checks": checks, **findings}, order="deterministic").decode()
        await store.add_attestation(connection, serial, answered.challenge.challenge_id, nonce, encoded)

    async def _answered(self, proof: TpmProof, device_id: str) -> Answered:
        async with self._database.read() as connection:
            row = await store.find_challenge(connection, proof.challenge_id)
        offered = self._secrets.mac(proof.challenge_id, proof.secret)
        expected = bytes(32) if row is None else row.secret_mac
        if not hmac.compare_digest(offered, expected) or row is None or row.device_id != device_id:
            raise AuthenticationFailed(UNIFORM)
        return Answered(row)

    async def _is_needed(self, connection: AsyncConnection, record: DeviceRecord) -> bool:
        model = self._catalogue.find(record.model)
        if record.assurance == "tpm" or (model is not None and model.minimum_assurance == "tpm"):
            return True
        endorsement = await store.find_endorsement(connection, record.registry_key)
        return endorsement is not None and endorsement.proven_at is not None


_NEEDED = Refusal("attestation_missing", AttestationMissing("This device must enrol with the proof of its TPM."))
_CHALLENGE_OVER = Refusal(
    "credential_expired", Expired("The credential challenge is older than 5 minutes: ask anew.")
)
_CHALLENGE_USED = Refusal("credential_used", AlreadyUsed("The credential challenge was used before: ask anew."))
_ANOTHER_EK = Refusal("another_ek", EkRefused("The endorsement key is not the one of this device."))


def _shown(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
