"""Tables of the integrity service, on metadata of their own, and the statements on them."""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.audit.store import audit
from admittance.server.database import metadata as server_metadata
from admittance.server.integrity.model import OpenChallenge, Release, decode_files, encode_files

metadata = MetaData(naming_convention=server_metadata.naming_convention)

audit.to_metadata(metadata)

releases = Table(
    "releases",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("verifier", Text, nullable=False),
    Column("files", LargeBinary, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger, nullable=True),
)

challenges = Table(
    "challenges",
    metadata,
    Column("challenge", LargeBinary(16), primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("jkt", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("source", LargeBinary(32), nullable=False),
    Column("randomness", LargeBinary(32), nullable=False),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("coverage_percent", Integer, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger, nullable=True),
    Column("attested_at", BigInteger, nullable=True),
    Index(None, "source", "issued_at"),
    Index(None, "issued_at"),
)

_LOCK_SOURCE = text("SELECT pg_advisory_xact_lock(:source)")


async def find_release(connection: AsyncConnection, client_id: str, version: str) -> Release | None:
    query = select(releases).where(releases.c.client_id == client_id, releases.c.version == version)
    row = (await connection.execute(query)).first()
    return None if row is None else _release_of(row)


async def all_releases(connection: AsyncConnection) -> list[Release]:
    query = select(releases).order_by(releases.c.client_id, releases.c.added_at, releases.c.version)
    return [_release_of(row) for row in await connection.execute(query)]


async def insert_release(connection: AsyncConnection, release: Release) -> None:
    await connection.execute(
        insert(releases).values(
            client_id=release.client_id,
            version=release.version,
            verifier=release.verifier,
            files=encode_files(release.files),
            added_at=release.added_at,
            retired_at=None,
        )
    )


async def set_retired(connection: AsyncConnection, client_id: str, version: str, *, at: int | None) -> bool:
    """Retire a release, or make it current again; False if it is so already, or is not there."""
    unchanged = releases.c.retired_at.is_(None) if at is not None else releases.c.retired_at.is_not(None)
    result = await connection.execute(
        update(releases)
        .where(releases.c.client_id == client_id, releases.c.version == version, unchanged)
        .values(retired_at=at)
    )
    return result.rowcount == 1


async def lock_source(connection: AsyncConnection, source: bytes) -> None:
    """Let others who are asked from the same source wait until this transaction ends."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_LOCK_SOURCE, {"source": int.from_bytes(source[:8], "big", signed=True)})


async def not_attested_since(connection: AsyncConnection, source: bytes, since: int) -> list[int]:
    """When the challenges were issued to `source`, after `since`, that led to no attestation (yet); oldest first."""
    query = (
        select(challenges.c.issued_at)
        .where(challenges.c.source == source, challenges.c.issued_at > since, challenges.c.attested_at.is_(None))
        .order_by(challenges.c.issued_at)
    )
    return list((await connection.execute(query)).scalars())


async def issued_since(connection: AsyncConnection, source: bytes, since: int) -> int:
    """How many challenges were issued to `source` after `since`."""
    query = (
        select(func.count())
        .select_from(challenges)
        .where(challenges.c.source == source, challenges.c.issued_at > since)
    )
    return (await connection.execute(query)).scalar_one()


async def insert_challenge(connection: AsyncConnection, challenge: OpenChallenge) -> None:
    values: dict[str, Any] = dict(vars(challenge)) | {"jwk": msgspec.json.encode(challenge.jwk).decode()}
    await connection.execute(insert(challenges).values(**values))


async def consume_challenge(
    connection: AsyncConnection, challenge: bytes, *, jkt: str, now: int
) -> OpenChallenge | None:
    """Take the one answer that a challenge allows. Of any number of callers at once exactly one succeeds."""
    result = await connection.execute(
        update(challenges)
        .where(
            challenges.c.challenge == challenge,
            challenges.c.jkt == jkt,
            challenges.c.answered_at.is_(None),
            challenges.c.expires_at > now,
        )
        .values(answered_at=now)
        .returning(*_CHALLENGE)
    )
    row = result.first()
    return None if row is None else _challenge_of(row)


async def why_not(connection: AsyncConnection, challenge: bytes, *, jkt: str) -> str:
    """What kept `consume_challenge` from taking an answer."""
    query = select(challenges.c.jkt, challenges.c.answered_at).where(challenges.c.challenge == challenge)
    row = (await connection.execute(query)).first()
    if row is None:
        return "unknown"
    if row.jkt != jkt:
        return "other_key"
    return "late" if row.answered_at is None else "replayed"


async def set_attested(connection: AsyncConnection, challenge: OpenChallenge, *, now: int) -> bool:
    """Record that an answer was right; False if the release was retired meanwhile."""
    current = (
        select(releases.c.version)
        .where(
            releases.c.client_id == challenge.client_id,
            releases.c.version == challenge.version,
            releases.c.retired_at.is_(None),
        )
        .with_for_update()
    )
    if (await connection.execute(current)).first() is None:
        return False
    result = await connection.execute(
        update(challenges)
        .where(challenges.c.challenge == challenge.challenge, challenges.c.attested_at.is_(None))
        .values(attested_at=now)
    )
    return result.rowcount == 1


async def purge(connection: AsyncConnection, *, before: int) -> int:
    """Forget the challenges that were issued before; returns how many."""
    return (await connection.execute(delete(challenges).where(challenges.c.issued_at < before))).rowcount


_CHALLENGE = [challenges.c[name] for name in OpenChallenge.__dataclass_fields__]


def _release_of(row: Row[Any]) -> Release:
    return Release(
        row.client_id, row.version, row.verifier, decode_files(row.files), row.added_at, retired_at=row.retired_at
    )


def _challenge_of(row: Row[Any]) -> OpenChallenge:
    values = dict(row._mapping)
    return OpenChallenge(**values | {"jwk": msgspec.json.decode(row.jwk, type=dict[str, str])})
