"""The authorization server: clients, logins, codes; it replaces opaque tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("authentication", sa.Text(), nullable=False),
        sa.Column("secret_mac", sa.LargeBinary(length=32), nullable=True),
        sa.Column("keys", sa.Text(), nullable=True),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_oauth_clients")),
    )
    op.create_table(
        "oauth_ended_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_oauth_ended_tokens")),
    )
    op.create_index(op.f("ix_oauth_ended_tokens_expires_at"), "oauth_ended_tokens", ["expires_at"], unique=False)
    op.create_table(
        "oauth_pushed_requests",
        sa.Column("request_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_mac", name=op.f("pk_oauth_pushed_requests")),
    )
    op.create_index(
        op.f("ix_oauth_pushed_requests_expires_at"), "oauth_pushed_requests", ["expires_at"], unique=False
    )
    op.create_table(
        "oauth_audiences",
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.client_id"], name=op.f("fk_oauth_audiences_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("audience", name=op.f("pk_oauth_audiences")),
    )
    op.create_index(op.f("ix_oauth_audiences_client_id"), "oauth_audiences", ["client_id"], unique=False)
    op.create_table(
        "oauth_codes",
        sa.Column("code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_oauth_codes_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_mac", name=op.f("pk_oauth_codes")),
    )
    op.create_index(op.f("ix_oauth_codes_account_id"), "oauth_codes", ["account_id"], unique=False)
    op.create_index(op.f("ix_oauth_codes_expires_at"), "oauth_codes", ["expires_at"], unique=False)
    op.create_table(
        "oauth_device_codes",
        sa.Column("device_code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("interval_s", sa.Integer(), nullable=False),
        sa.Column("poll_after", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_oauth_device_codes_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_code_mac", name=op.f("pk_oauth_device_codes")),
        sa.UniqueConstraint("user_code_mac", name=op.f("uq_oauth_device_codes_user_code_mac")),
    )
    op.create_index(op.f("ix_oauth_device_codes_account_id"), "oauth_device_codes", ["account_id"], unique=False)
    op.create_index(op.f("ix_oauth_device_codes_expires_at"), "oauth_device_codes", ["expires_at"], unique=False)
    op.create_table(
        "oauth_flows",
        sa.Column("flow_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("browser_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("device_code_mac", sa.LargeBinary(length=32), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_oauth_flows_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flow_mac", name=op.f("pk_oauth_flows")),
    )
    op.create_index(op.f("ix_oauth_flows_account_id"), "oauth_flows", ["account_id"], unique=False)
    op.create_index(op.f("ix_oauth_flows_expires_at"), "oauth_flows", ["expires_at"], unique=False)
    op.create_table(
        "oauth_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("rotation", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_oauth_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_oauth_sessions")),
    )
    op.create_index(op.f("ix_oauth_sessions_account_id"), "oauth_sessions", ["account_id"], unique=False)
    op.create_index(op.f("ix_oauth_sessions_client_id"), "oauth_sessions", ["client_id"], unique=False)
    op.create_index(op.f("ix_oauth_sessions_expires_at"), "oauth_sessions", ["expires_at"], unique=False)
    op.drop_table("tokens")
    op.drop_table("relay_tickets")
    op.create_table(
        "relay_tickets",
        sa.Column("ticket_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_mac", name=op.f("pk_relay_tickets")),
    )
    op.create_index(op.f("ix_relay_tickets_expires_at"), "relay_tickets", ["expires_at"], unique=False)
    op.create_index(op.f("ix_relay_tickets_session_id"), "relay_tickets", ["session_id"], unique=False)
