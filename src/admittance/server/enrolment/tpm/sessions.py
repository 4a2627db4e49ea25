"""TPM sessions: a device proves on one TLS connection that it holds its TPM, and is authenticated there alone.

Nonce, challenge and outcome live with the connection, so nobody else can use, or push out, a device's challenge. One
connection's requests come one after the other, so a challenge is used once.
"""

import hmac
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, SignatureInvalid
from admittance.protocol.signing import spki_of
from admittance.protocol.tpm.credential import SECRET_BYTES, make_credential
from admittance.protocol.tpm.session import signing_input, verify_session
from admittance.server.clock import Clock
from admittance.server.connection import Connection, OpenChallenge
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import store as enrolments
from admittance.server.enrolment.tpm import store
from admittance.server.enrolment.tpm.credentials import CHALLENGE_ID_BYTES, CHALLENGE_TTL_S
from admittance.server.enrolment.tpm.stand_ins import StandIns
from admittance.wire.device_id import check_device_id
from admittance.wire.tpm.public import Public
from admittance.wire.tpm_enrolment import CredentialChallenge, SessionProof

NONCE_BYTES = 32
MOST_KEYS = 4
"""A device that lost the answer to a renewal has an older key than its newest certificate's."""

_UNIFORM = "The request is not authenticated."
_NOBODY = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())


class TpmSessions:
    """`random` gives n random bytes."""

    def __init__(
        self,
        *,
        database: Database,
        sightings: Sightings,
        stand_ins: StandIns,
        clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._sightings = sightings
        self._stand_ins = stand_ins
        self._clock = clock
        self._random = random

    def nonce(self, connection: Connection) -> bytes:
        """The connection's nonce (32 bytes), drawn at the first call."""
        if connection.nonce is None:
            connection.nonce = self._random(NONCE_BYTES)
        return connection.nonce

    async def challenge(self, connection: Connection, device_id: str) -> CredentialChallenge:
        """A challenge to the TPM that enrolled as this device; it replaces the connection's last one.

        A device that has none, or that nobody made, gets one alike. Raises `Malformed`.
        """
        check_device_id(device_id)
        async with self._database.read() as reading:
            record = await registry.find(reading, device_id)
            registered = None if record is None else await store.find_endorsement(reading, record.registry_key)
        if registered is None or registered.proven_at is None:
            ek_public, ak_name = self._stand_ins.endorsement(device_id)
        else:
            ek_public, ak_name = Public.decode(registered.ek_public), Public.decode(registered.ak_public).name
        challenge_id, secret = self._random(CHALLENGE_ID_BYTES), self._random(SECRET_BYTES)
        id_object, encrypted_secret = make_credential(ek_public, ak_name, secret, self._random)
        expires_at = self._clock() + CHALLENGE_TTL_S
        connection.challenge = OpenChallenge(challenge_id, device_id, secret, expires_at)
        return CredentialChallenge(challenge_id, id_object, encrypted_secret)

    async def prove(self, connection: Connection, proof: SessionProof, source: str) -> None:
        """Authenticate the connection for the device that answers its challenge; success or not, it is used up.

        Raises `AuthenticationFailed`, whatever the reason.
        """
        challenge, connection.challenge = connection.challenge, None
        connection.certificate_fingerprint = None
        now = self._clock()
        async with self._database.read() as reading:
            record = await registry.find(reading, proof.device_id)
            recent = await self._recent(reading, record, now)
        if challenge is None or connection.nonce is None or challenge.expires_at <= now:
            raise AuthenticationFailed(_UNIFORM)
        if not hmac.compare_digest(challenge.challenge_id, proof.challenge_id):
            raise AuthenticationFailed(_UNIFORM)
        if challenge.device_id != proof.device_id:
            raise AuthenticationFailed(_UNIFORM)
        signed = signing_input(
            secret=challenge.secret,
            connection_nonce=connection.nonce,
            server_certificate_sha256=connection.server_certificate_sha256,
            device_id=proof.device_id,
            epoch=0 if record is None else record.epoch,
        )
        certificate = _of_signer(recent, proof.signature, signed)
        if record is not None and record.reported is not None:
            async with self._database.transaction() as writing:
                await self._sightings.note(writing, record, "session", source, now)
        if certificate.revoked_at is not None:
            raise AuthenticationFailed(_UNIFORM)
        connection.certificate_fingerprint = bytes(certificate.fingerprint)

    async def _recent(self, reading: AsyncConnection, record: DeviceRecord | None, now: float) -> list[Row[Any]]:
        if record is None or record.assurance != "tpm":
            return []
        return await enrolments.recent_certificates(reading, record.registry_key, record.epoch, int(now), MOST_KEYS)


def _of_signer(certificates: list[Row[Any]], signature: bytes, signed: bytes) -> Row[Any]:
    """Which of the certificates is over the key that signed. Raises `AuthenticationFailed`."""
    for row in certificates:
        if _holds(signature, _spki(row.certificate), signed):
            return row
    if not certificates:
        _holds(signature, _NOBODY, signed)
    raise AuthenticationFailed(_UNIFORM)


def _holds(signature: bytes, spki: bytes, signed: bytes) -> bool:
    try:
        verify_session(signature, spki, signed)
    except SignatureInvalid:
        return False
    return True


def _spki(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
