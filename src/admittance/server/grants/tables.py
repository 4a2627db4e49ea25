"""Tables of grants, of the invitations to them, and of the possession keys that devices are told.

What a device token is decided by is one range of `granted_devices`' index: the grants of others don't slow it.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from admittance.server.database import metadata


def _of_account() -> ForeignKey:
    return ForeignKey("accounts.account_id", ondelete="CASCADE")


def _of_device() -> ForeignKey:
    return ForeignKey("devices.device_id", ondelete="CASCADE")


def _of_grant() -> ForeignKey:
    return ForeignKey("grants.grant_id", ondelete="CASCADE")


grants = Table(
    "grants",
    metadata,
    Column("grant_id", LargeBinary(16), primary_key=True),
    Column("owner_id", Text, _of_account(), nullable=False),
    Column("guest_id", Text, _of_account()),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("begins_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("weekdays", Integer),
    Column("from_minute", Integer),
    Column("to_minute", Integer),
    Column("zone", Text),
    Column("uses", Integer, nullable=False),
    Column("integrity", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "owner_id", "created_at"),
    Index(None, "guest_id"),
    Index(None, "email"),
    Index(None, "ends_at"),
)
"""`weekdays` has bit 0 for Monday; it and the three columns after it are empty for a window without hours."""

granted_devices = Table(
    "granted_devices",
    metadata,
    Column("grant_id", LargeBinary(16), _of_grant(), primary_key=True),
    Column("device_id", Text, _of_device(), primary_key=True),
    Column("guest_id", Text),
    Column("permissions", LargeBinary, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("uncounted", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "device_id", "guest_id"),
)
"""What a grant allows on a device: `permissions` is AIF in CBOR. `guest_id` is the grant's. `uncounted` are the uses
among `used` that the device has forgotten."""

grant_invitations = Table(
    "grant_invitations",
    metadata,
    Column("secret_mac", LargeBinary(32), primary_key=True),
    Column("grant_id", LargeBinary(16), _of_grant(), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "grant_id"),
    Index(None, "expires_at"),
)
"""Invites (`accounts.store.invites`) that bring a grant."""

guest_accounts = Table(
    "guest_accounts",
    metadata,
    Column("account_id", Text, _of_account(), primary_key=True),
    Column("invited_by", Text, nullable=False),
)
"""Accounts that an owner's invitation made: only that owner vouches for their address."""

device_access = Table(
    "device_access",
    metadata,
    Column("device_id", Text, _of_device(), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("tries", Integer, nullable=False),
    Index(None, "due_at"),
)
"""What a device was told: `sequence` counts its changes, `acknowledged` is the last that it has. `due_at` is when it
is to be told again, empty where it has everything. The row is locked by whoever changes anything of the device."""

possession_keys = Table(
    "possession_keys",
    metadata,
    Column("token", LargeBinary(16), primary_key=True),
    Column("device_id", Text, ForeignKey("device_access.device_id", ondelete="CASCADE"), nullable=False),
    Column("grant_id", LargeBinary(16), _of_grant(), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("permissions", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Index(None, "device_id"),
    Index(None, "grant_id"),
    Index(None, "session_id"),
    Index(None, "expires_at"),
)
"""`sealed` is the encrypted master secret; `added` and `ended` are the device's sequences when it came and went."""
