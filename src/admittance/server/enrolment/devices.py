"""Who a device on the device listener is: TLS proved the key, the registry decides, at every request."""

from cryptography.hazmat.primitives import hashes
from starlette.requests import Request

from admittance.errors import AuthenticationFailed
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.enrolment import store
from admittance.server.enrolment.model import AuthenticatedDevice, CertificatePolicy
from admittance.server.tls import client_certificate

_UNIFORM = "The request is not authenticated."
SEEN_EVERY_S = 60


class DeviceAuthenticator:
    """Nothing is cached: what was revoked on any node is refused at the next request here."""

    def __init__(self, *, database: Database, policy: CertificatePolicy, clock: Clock) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock

    async def device(self, request: Request) -> AuthenticatedDevice:
        """The device that sent `request`. Raises `AuthenticationFailed`, whatever the reason."""
        certificate = client_certificate(request.scope)
        if certificate is None:
            raise AuthenticationFailed(_UNIFORM)
        return await self.authenticate(certificate)

    async def authenticate(self, certificate: bytes) -> AuthenticatedDevice:
        """The device of a certificate (DER) whose key TLS proved. Raises `AuthenticationFailed`."""
        now = int(self._clock())
        async with self._database.read() as connection:
            row = await store.find_with_device(connection, _fingerprint(certificate))
        if row is None or row.certificate != certificate:
            raise AuthenticationFailed(_UNIFORM)
        record = registry.record(row)
        is_live = row.certificate_revoked_at is None and row.not_after > now
        is_current = (row.certificate_epoch, row.certificate_account_id) == (record.epoch, record.account_id)
        if not is_live or not is_current or record.state != "active" or record.account_id is None:
            raise AuthenticationFailed(_UNIFORM)
        if record.last_seen_at is None or now - record.last_seen_at >= SEEN_EVERY_S:
            async with self._database.transaction() as connection:
                await registry.saw(connection, record.registry_key, now)
        due = row.issued_at + self._policy.renew_after_s
        return AuthenticatedDevice(record.device_id, record.account_id, record.epoch, max(0, due - now))


def _fingerprint(certificate: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate)
    return digest.finalize()
