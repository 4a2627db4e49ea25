"""Certificates, spent nonces and the revocation list."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata
from admittance.server.devices.store import devices

certificates = Table(
    "certificates",
    metadata,
    Column("serial", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, unique=True),
    Column("registry_key", LargeBinary, ForeignKey("devices.registry_key", ondelete="CASCADE"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("spki_sha256", LargeBinary, nullable=False),
    Column("ticket_mac", LargeBinary),
    Column("certificate", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("decision", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revocation_reason", Text),
    Index(None, "registry_key", "issued_at"),
    Index(None, "spki_sha256"),
    Index(None, "revoked_at"),
)

spent_nonces = Table(
    "spent_nonces",
    metadata,
    Column("nonce", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)

revocation_list = Table(
    "revocation_list",
    metadata,
    Column("issuer", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("is_stale", Boolean, nullable=False),
    Column("next_update", BigInteger, nullable=False),
    Column("der", LargeBinary, nullable=False),
)


_SPEND_NONCE = {
    "sqlite": sqlite.insert(spent_nonces).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(spent_nonces).on_conflict_do_nothing(),
}
_ADD_CERTIFICATE = insert(certificates)
_LIVE_CERTIFICATE = (
    select(certificates)
    .where(
        certificates.c.registry_key == bindparam("of_device"),
        certificates.c.epoch == bindparam("in_epoch"),
        certificates.c.not_after > bindparam("now"),
        certificates.c.revoked_at.is_(None),
    )
    .order_by(certificates.c.not_after.desc())
    .limit(1)
)
_FIND_ISSUED = _LIVE_CERTIFICATE.where(certificates.c.spki_sha256 == bindparam("over_key"))
_FIND_ISSUED_FOR_TICKET = _FIND_ISSUED.where(certificates.c.ticket_mac == bindparam("for_ticket"))
_REVOKE_CERTIFICATES = (
    update(certificates)
    .where(
        certificates.c.registry_key == bindparam("of_device"),
        certificates.c.revoked_at.is_(None),
        certificates.c.not_after > bindparam("now"),
    )
    .values(revoked_at=bindparam("now"), revocation_reason=bindparam("because"))
)


async def spend_nonce(connection: AsyncConnection, nonce: bytes, expires_at: int) -> bool:
    """Note that a nonce was used. Of any number of callers at once, one gets true."""
    values = {"nonce": nonce, "expires_at": expires_at}
    return (await connection.execute(_SPEND_NONCE[connection.dialect.name], values)).rowcount == 1


async def forget_nonces(connection: AsyncConnection, now: int) -> None:
    """Delete nonces that are too old to be accepted in any case."""
    await connection.execute(delete(spent_nonces).where(spent_nonces.c.expires_at < now))


async def add_certificate(connection: AsyncConnection, **values: object) -> None:
    await connection.execute(_ADD_CERTIFICATE, values)


async def find_issued(
    connection: AsyncConnection,
    registry_key: bytes,
    spki_sha256: bytes,
    ticket_mac: bytes | None,
    epoch: int,
    now: int,
) -> Row[Any] | None:
    """The live certificate that was issued for this device, key and ticket, in this epoch."""
    values = {"of_device": registry_key, "over_key": spki_sha256, "in_epoch": epoch, "now": now}
    if ticket_mac is None:
        return (await connection.execute(_FIND_ISSUED, values)).first()
    return (await connection.execute(_FIND_ISSUED_FOR_TICKET, {**values, "for_ticket": ticket_mac})).first()


async def live_certificate(connection: AsyncConnection, registry_key: bytes, epoch: int, now: int) -> Row[Any] | None:
    """The device's newest certificate that is neither expired nor revoked."""
    values = {"of_device": registry_key, "in_epoch": epoch, "now": now}
    return (await connection.execute(_LIVE_CERTIFICATE, values)).first()


async def recent_certificates(
    connection: AsyncConnection, registry_key: bytes, epoch: int, now: int, most: int
) -> list[Row[Any]]:
    """The device's newest `most` certificates that are not expired, revoked ones too."""
    columns = certificates.c
    query = (
        select(certificates)
        .where(
            columns.registry_key == registry_key,
            columns.epoch == epoch,
            columns.not_after > now,
        )
        .order_by(columns.issued_at.desc())
        .limit(most)
    )
    return list(await connection.execute(query))


async def newest_certificate(connection: AsyncConnection, registry_key: bytes) -> Row[Any] | None:
    columns = certificates.c
    query = select(certificates).where(columns.registry_key == registry_key)
    return (await connection.execute(query.order_by(columns.issued_at.desc()).limit(1))).first()


async def newest_certificates(connection: AsyncConnection, account_id: str | None) -> dict[bytes, Row[Any]]:
    """The newest certificate of each device, issued for an account or, with None, for anybody."""
    columns = certificates.c
    query = select(certificates).order_by(columns.issued_at)
    if account_id is not None:
        query = query.where(columns.account_id == account_id)
    return {row.registry_key: row for row in await connection.execute(query)}


async def find_with_device(connection: AsyncConnection, fingerprint: bytes) -> Row[Any] | None:
    """A certificate by its SHA-256, beside all columns of its device."""
    columns = certificates.c
    query = (
        select(
            devices,
            columns.serial,
            columns.fingerprint,
            columns.certificate,
            columns.epoch.label("certificate_epoch"),
            columns.account_id.label("certificate_account_id"),
            columns.revoked_at.label("certificate_revoked_at"),
            columns.issued_at,
            columns.not_after,
        )
        .join_from(certificates, devices, columns.registry_key == devices.c.registry_key)
        .where(columns.fingerprint == fingerprint)
    )
    return (await connection.execute(query)).first()


async def revoke_certificates(connection: AsyncConnection, registry_key: bytes, reason: str, now: int) -> int:
    """Revoke all of a device's certificates and mark the revocation list stale. Returns how many it were."""
    values = {"of_device": registry_key, "because": reason, "now": now}
    result = await connection.execute(_REVOKE_CERTIFICATES, values)
    if result.rowcount:
        await connection.execute(update(revocation_list).values(is_stale=True))
    return result.rowcount


async def revoked(connection: AsyncConnection, now: int) -> list[Row[Any]]:
    """Serial, time and reason of the revoked certificates that would still be valid."""
    columns = certificates.c
    query = select(columns.serial, columns.revoked_at, columns.revocation_reason).where(
        columns.revoked_at.is_not(None), columns.not_after > now
    )
    return list(await connection.execute(query.order_by(columns.revoked_at)))


async def find_list(connection: AsyncConnection, issuer: bytes, *, lock: bool = False) -> Row[Any] | None:
    query = select(revocation_list).where(revocation_list.c.issuer == issuer)
    return (await connection.execute(query.with_for_update() if lock else query)).first()


async def save_list(connection: AsyncConnection, issuer: bytes, number: int, next_update: int, der: bytes) -> None:
    values = {"number": number, "is_stale": False, "next_update": next_update, "der": der}
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(revocation_list).values(issuer=issuer, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[revocation_list.c.issuer], set_=values))
