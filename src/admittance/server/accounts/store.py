"""Tables of accounts, and the statements on them."""

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
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.accounts.model import Account
from admittance.server.database import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("operator", Boolean, nullable=False),
    Column("quota", Integer, nullable=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

invites = Table(
    "invites",
    metadata,
    Column("secret_mac", LargeBinary(32), primary_key=True),
    Column("email", Text, nullable=False),
    Column("operator", Boolean, nullable=False),
    Column("quota", Integer, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("account_id", Text, nullable=True),
    Column("accepted_at", BigInteger, nullable=True),
)

proofs_seen = Table(
    "proofs_seen",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_proofs_seen_expires_at", "expires_at"),
)

login_throttles = Table(
    "login_throttles",
    metadata,
    Column("bucket", LargeBinary(32), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("not_before_at", BigInteger, nullable=False),
    Column("forget_at", BigInteger, nullable=False),
    Index("ix_login_throttles_forget_at", "forget_at"),
)

premises_networks = Table(
    "premises_networks",
    metadata,
    Column(
        "account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True, nullable=False
    ),
    Column("name", Text, primary_key=True, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

trusted_apps = Table(
    "trusted_apps",
    metadata,
    Column(
        "account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True, nullable=False
    ),
    Column("jkt", Text, primary_key=True, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
)


_FIND_BY_ID = select(accounts).where(accounts.c.account_id == bindparam("sought"))
_LOCK_ACCOUNT = _FIND_BY_ID.with_for_update()


def account_of(row: Row[tuple[object, ...]], default_quota: int) -> Account:
    """The account in a row that holds every column of `accounts`."""
    quota: int | None = row.quota
    return Account(
        account_id=row.account_id,
        email=row.email,
        display_name=row.display_name,
        operator=row.operator,
        quota=default_quota if quota is None else quota,
        created_at=row.created_at,
    )


async def find_by_email(connection: AsyncConnection, email: str) -> Row[tuple[object, ...]] | None:
    result = await connection.execute(select(accounts).where(accounts.c.email == email))
    return result.first()


async def find_by_id(connection: AsyncConnection, account_id: str) -> Row[tuple[object, ...]] | None:
    return (await connection.execute(_FIND_BY_ID, {"sought": account_id})).first()


async def lock_account(connection: AsyncConnection, account_id: str) -> Row[tuple[object, ...]] | None:
    """Read an account and hold its row until the transaction ends, so that what counts against it is serialised."""
    return (await connection.execute(_LOCK_ACCOUNT, {"sought": account_id})).first()


async def insert_account(
    connection: AsyncConnection,
    *,
    account_id: str,
    email: str,
    display_name: str,
    operator: bool,
    quota: int | None,
    password_hash: str,
    created_at: int,
) -> None:
    await connection.execute(
        insert(accounts).values(
            account_id=account_id,
            email=email,
            display_name=display_name,
            operator=operator,
            quota=quota,
            password_hash=password_hash,
            created_at=created_at,
        )
    )


async def insert_invite(
    connection: AsyncConnection,
    *,
    secret_mac: bytes,
    email: str,
    operator: bool,
    quota: int | None,
    created_at: int,
    expires_at: int,
) -> None:
    await connection.execute(
        insert(invites).values(
            secret_mac=secret_mac,
            email=email,
            operator=operator,
            quota=quota,
            created_at=created_at,
            expires_at=expires_at,
        )
    )


async def find_invite(connection: AsyncConnection, secret_mac: bytes) -> Row[tuple[object, ...]] | None:
    return (await connection.execute(select(invites).where(invites.c.secret_mac == secret_mac))).first()


async def consume_invite(connection: AsyncConnection, secret_mac: bytes, *, account_id: str, now: int) -> bool:
    """Bind an open invite to the account that it makes. Of any number of callers at once exactly one succeeds."""
    result = await connection.execute(
        update(invites)
        .where(invites.c.secret_mac == secret_mac, invites.c.account_id.is_(None), invites.c.expires_at > now)
        .values(account_id=account_id, accepted_at=now)
    )
    return result.rowcount == 1
