"""Endorsement keys, credential challenges, and what TPMs proved.

Whatever is good once is used up by one conditional UPDATE: of any number of callers at once, one succeeds.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata

endorsement_keys = Table(
    "endorsement_keys",
    metadata,
    Column("registry_key", LargeBinary, ForeignKey("devices.registry_key"), primary_key=True),
    Column("ek_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("listed_certificate", LargeBinary),
    Column("ek_public", LargeBinary),
    Column("ak_public", LargeBinary),
    Column("proven_at", BigInteger),
)
"""One endorsement key for each device id, for ever: rows are never deleted, and `ek_sha256` never changes.

`ek_sha256` is over the SubjectPublicKeyInfo. The rest is None until a TPM proved that it holds both; `ak_public` is
the newest attestation key (TPMT_PUBLIC).
"""

credential_challenges = Table(
    "credential_challenges",
    metadata,
    Column("challenge_id", LargeBinary(16), primary_key=True),
    Column("device_id", Text, nullable=False),
    Column("secret_mac", LargeBinary(32), nullable=False),
    Column("ek_sha256", LargeBinary(32), nullable=False),
    Column("ek_public", LargeBinary, nullable=False),
    Column("ek_chain", LargeBinary, nullable=False),
    Column("ak_public", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index(None, "ek_sha256", "expires_at"),
    Index(None, "expires_at"),
)
"""`ek_chain` is a CBOR array of certificates (DER, leaf first). Used rows stay: they are evidence."""

attestations = Table(
    "attestations",
    metadata,
    Column("serial", Text, ForeignKey("certificates.serial", ondelete="CASCADE"), primary_key=True),
    Column(
        "challenge_id",
        LargeBinary(16),
        ForeignKey("credential_challenges.challenge_id"),
        nullable=False,
        unique=True,
    ),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("findings", Text, nullable=False),
)
"""What a TPM proved for one certificate, whose row holds the signed request with the statements themselves."""


_FIND_ENDORSEMENT = select(endorsement_keys).where(endorsement_keys.c.registry_key == bindparam("of_device"))
_FIND_CHALLENGE = select(credential_challenges).where(credential_challenges.c.challenge_id == bindparam("sought"))
_ADD_CHALLENGE = insert(credential_challenges)
_USE_CHALLENGE = (
    update(credential_challenges)
    .where(
        credential_challenges.c.challenge_id == bindparam("offered"),
        credential_challenges.c.expires_at > bindparam("now"),
        credential_challenges.c.used_at.is_(None),
    )
    .values(used_at=bindparam("now"))
)


async def add_challenge(connection: AsyncConnection, **values: object) -> None:
    await connection.execute(_ADD_CHALLENGE, values)


async def forget_challenges(connection: AsyncConnection, ek_sha256: bytes, keep: int, now: int) -> None:
    """Delete the unused challenges of an endorsement key that are over, and all but the `keep` newest."""
    table = credential_challenges.c
    of_key = (table.ek_sha256 == ek_sha256, table.used_at.is_(None))
    newest = select(table.challenge_id).where(*of_key).order_by(table.expires_at.desc(), table.challenge_id)
    old = newest.offset(keep).limit(1000)
    await connection.execute(
        delete(credential_challenges).where(
            *of_key, or_(table.expires_at <= now, table.challenge_id.in_(old.scalar_subquery()))
        )
    )


async def find_challenge(connection: AsyncConnection, challenge_id: bytes) -> Row[Any] | None:
    return (await connection.execute(_FIND_CHALLENGE, {"sought": challenge_id})).first()


async def use_challenge(connection: AsyncConnection, challenge_id: bytes, now: int) -> bool:
    """Use an open challenge up. Of any number of callers at once, one gets true."""
    values = {"offered": challenge_id, "now": now}
    return (await connection.execute(_USE_CHALLENGE, values)).rowcount == 1


async def find_endorsement(connection: AsyncConnection, registry_key: bytes) -> Row[Any] | None:
    return (await connection.execute(_FIND_ENDORSEMENT, {"of_device": registry_key})).first()


async def bind_endorsement(
    connection: AsyncConnection, registry_key: bytes, ek_sha256: bytes, ek_public: bytes, ak_public: bytes, now: int
) -> bool:
    """Bind an endorsement key to a device for ever, and note its newest attestation key.

    False if the device has another endorsement key, or the key is another device's.
    """
    values = {"registry_key": registry_key, "ek_sha256": ek_sha256}
    await connection.execute(_if_new(connection, endorsement_keys).values(values).on_conflict_do_nothing())
    table = endorsement_keys.c
    proven = (
        update(endorsement_keys)
        .where(table.registry_key == registry_key, table.ek_sha256 == ek_sha256)
        .values(ek_public=ek_public, ak_public=ak_public, proven_at=func.coalesce(table.proven_at, now))
    )
    return (await connection.execute(proven)).rowcount == 1


async def list_endorsement(
    connection: AsyncConnection, registry_key: bytes, ek_sha256: bytes, certificate: bytes
) -> None:
    """Take a maker's word for a device's endorsement key, unless one of the two is bound already."""
    statement = _if_new(connection, endorsement_keys).values(
        registry_key=registry_key, ek_sha256=ek_sha256, listed_certificate=certificate
    )
    await connection.execute(statement.on_conflict_do_nothing())


async def bound_endorsements(
    connection: AsyncConnection, registry_keys: Iterable[bytes], digests: Iterable[bytes]
) -> list[tuple[bytes, bytes]]:
    """Registry key and digest of every endorsement key that is one of these devices', or one of these keys."""
    table = endorsement_keys.c
    rows = await connection.execute(
        select(table.registry_key, table.ek_sha256).where(
            or_(table.registry_key.in_(list(registry_keys)), table.ek_sha256.in_(list(digests)))
        )
    )
    return [(row.registry_key, row.ek_sha256) for row in rows]


async def add_attestation(
    connection: AsyncConnection, serial: str, challenge_id: bytes, nonce: bytes, findings: str
) -> None:
    await connection.execute(
        insert(attestations).values(serial=serial, challenge_id=challenge_id, nonce=nonce, findings=findings)
    )


async def find_attestation(connection: AsyncConnection, serial: str) -> Row[Any] | None:
    """What a TPM proved for that certificate, beside its credential challenge."""
    challenge = credential_challenges.c
    query = (
        select(attestations, challenge.ek_public, challenge.ek_chain, challenge.ak_public)
        .join_from(attestations, credential_challenges, attestations.c.challenge_id == challenge.challenge_id)
        .where(attestations.c.serial == serial)
    )
    return (await connection.execute(query)).first()


def _if_new(connection: AsyncConnection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
