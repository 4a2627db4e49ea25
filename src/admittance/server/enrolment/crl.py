"""The certificate revocation list (RFC 5280, section 5): signed anew at a revocation, else served as it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Row

from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.enrolment import store

LIFETIME_S = 24 * 3600
RENEW_BEFORE_S = LIFETIME_S // 2

_REASONS = {
    "superseded": x509.ReasonFlags.superseded,
    "privilege_withdrawn": x509.ReasonFlags.privilege_withdrawn,
    "cessation_of_operation": x509.ReasonFlags.cessation_of_operation,
}


class RevocationList:
    """The list of one issuing CA. Its number grows by one with each list (section 5.2.3)."""

    def __init__(
        self, *, database: Database, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, clock: Clock
    ) -> None:
        self._database = database
        self._key = key
        self._name = certificate.subject
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        self._issuer = identifier.digest
        self._authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        self._clock = clock

    async def current(self) -> bytes:
        """The list (DER)."""
        now = self._clock()
        async with self._database.read() as connection:
            row = await store.find_list(connection, self._issuer)
        if row is not None and _is_current(row, now):
            return bytes(row.der)
        async with self._database.transaction() as connection:
            row = await store.find_list(connection, self._issuer, lock=True)
            if row is not None and _is_current(row, now):
                return bytes(row.der)
            number = 1 if row is None else row.number + 1
            der = self._sign(number, await store.revoked(connection, int(now)), now)
            await store.save_list(connection, self._issuer, number, int(now) + LIFETIME_S, der)
        return der

    def _sign(self, number: int, revoked: list[Row[Any]], now: float) -> bytes:
        start = datetime.fromtimestamp(int(now), UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(start)
            .next_update(start + timedelta(seconds=LIFETIME_S))
            .add_extension(self._authority, critical=False)
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for row in revoked:
            entry = x509.RevokedCertificateBuilder(
                int(row.serial, 16),
                datetime.fromtimestamp(row.revoked_at, UTC),
                [x509.Extension(x509.CRLReason.oid, False, x509.CRLReason(_REASONS[row.revocation_reason]))],
            ).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)


def _is_current(row: Row[Any], now: float) -> bool:
    return not row.is_stale and row.next_update - now > RENEW_BEFORE_S
