"""Grants, and the possession keys that devices are told."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("guest_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("begins_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("weekdays", sa.Integer(), nullable=True),
        sa.Column("from_minute", sa.Integer(), nullable=True),
        sa.Column("to_minute", sa.Integer(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("integrity", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["guest_id"], ["accounts.account_id"], name=op.f("fk_grants_guest_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["accounts.account_id"], name=op.f("fk_grants_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_email"), "grants", ["email"], unique=False)
    op.create_index(op.f("ix_grants_ends_at"), "grants", ["ends_at"], unique=False)
    op.create_index(op.f("ix_grants_guest_id"), "grants", ["guest_id"], unique=False)
    op.create_index(op.f("ix_grants_owner_id_created_at"), "grants", ["owner_id", "created_at"], unique=False)
    op.create_table(
        "granted_devices",
        sa.Column("grant_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("guest_id", sa.Text(), nullable=True),
        sa.Column("permissions", sa.LargeBinary(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("uncounted", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.device_id"], name=op.f("fk_granted_devices_device_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_granted_devices_grant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("grant_id", "device_id", name=op.f("pk_granted_devices")),
    )
    op.create_index(
        op.f("ix_granted_devices_device_id_guest_id"), "granted_devices", ["device_id", "guest_id"], unique=False
    )
    op.create_table(
        "grant_invitations",
        sa.Column("secret_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_grant_invitations_grant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_mac", name=op.f("pk_grant_invitations")),
    )
    op.create_index(op.f("ix_grant_invitations_expires_at"), "grant_invitations", ["expires_at"], unique=False)
    op.create_index(op.f("ix_grant_invitations_grant_id"), "grant_invitations", ["grant_id"], unique=False)
    op.add_column("relay_tickets", sa.Column("attested_until", sa.BigInteger(), nullable=True))
    op.create_table(
        "guest_accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_guest_accounts_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_guest_accounts")),
    )
    op.create_table(
        "device_access",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.device_id"], name=op.f("fk_device_access_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_access")),
    )
    op.create_index(op.f("ix_device_access_due_at"), "device_access", ["due_at"], unique=False)
    op.create_table(
        "possession_keys",
        sa.Column("token", sa.LargeBinary(length=16), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("permissions", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device_access.device_id"],
            name=op.f("fk_possession_keys_device_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_possession_keys_grant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_possession_keys")),
    )
    for column in ("device_id", "expires_at", "grant_id", "session_id"):
        op.create_index(op.f(f"ix_possession_keys_{column}"), "possession_keys", [column], unique=False)
