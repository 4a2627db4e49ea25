"""Who a device is: TLS or a TPM session proved its key, the registry decides, at every request."""

from cryptography.hazmat.primitives import hashes
from starlette.requests import Request

from admittance.errors import AuthenticationFailed
from admittance.server.clock import Clock
from admittance.server.connection import connection_of
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import store
from admittance.server.enrolment.model import AuthenticatedDevice, CertificatePolicy
from admittance.server.tls import client_certificate

_UNIFORM = "The request is not authenticated."
SEEN_EVERY_S = 60


class DeviceAuthenticator:
    """Nothing is cached: what was revoked on any node is refused at the next request here."""

    def __init__(self, *, database: Database, sightings: Sightings, policy: CertificatePolicy, clock: Clock) -> None:
        self._database = database
        self._sightings = sightings
        self._policy = policy
        self._clock = clock

    async def device(self, request: Request) -> AuthenticatedDevice:
        """The device that sent `request`. Raises `AuthenticationFailed`, whatever the reason."""
        source = request.client.host if request.client else "unknown"
        certificate = client_certificate(request.scope)
        if certificate is not None:
            return await self.authenticate(certificate, source)
        connection = connection_of(request.scope)
        if connection is None or connection.certificate_fingerprint is None:
            raise AuthenticationFailed(_UNIFORM)
        return await self._current(connection.certificate_fingerprint, source, by_tpm=True)

    async def authenticate(self, certificate: bytes, source: str = "") -> AuthenticatedDevice:
        """The device of a certificate (DER) whose key TLS proved, on a connection from `source`.

        A device of assurance ``tpm`` is refused: its key in other hands could do the same. Raises
        `AuthenticationFailed`.
        """
        return await self._current(_fingerprint(certificate), source, by_tpm=False)

    async def _current(self, fingerprint: bytes, source: str, *, by_tpm: bool) -> AuthenticatedDevice:
        now = int(self._clock())
        async with self._database.read() as connection:
            row = await store.find_with_device(connection, fingerprint)
        if row is None:
            raise AuthenticationFailed(_UNIFORM)
        record = registry.record(row)
        if record.reported is not None:
            async with self._database.transaction() as connection:
                await self._sightings.note(connection, record, "device", source, now)
        if (record.assurance == "tpm") is not by_tpm:
            raise AuthenticationFailed(_UNIFORM)
        is_live = row.certificate_revoked_at is None and row.not_after > now
        is_current = (row.certificate_epoch, row.certificate_account_id) == (record.epoch, record.account_id)
        if not is_live or not is_current or record.state != "active" or record.account_id is None:
            raise AuthenticationFailed(_UNIFORM)
        if record.last_seen_at is None or now - record.last_seen_at >= SEEN_EVERY_S:
            async with self._database.transaction() as connection:
                await registry.saw(connection, record.registry_key, now)
        due = row.issued_at + self._policy.renew_after(row.fingerprint)
        return AuthenticatedDevice(record.device_id, record.account_id, record.epoch, max(0, due - now))


def _fingerprint(certificate: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate)
    return digest.finalize()
