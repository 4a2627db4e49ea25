"""The first schema."""

import sqlalchemy as sa
from alembic import op

from admittance.server.audit.triggers import create_triggers

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("operator", sa.Boolean(), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)
    op.create_table(
        "challenges",
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("challenge", name=op.f("pk_challenges")),
    )
    op.create_index(op.f("ix_challenges_expires_at"), "challenges", ["expires_at"], unique=False)
    op.create_table(
        "credential_challenges",
        sa.Column("challenge_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("secret_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("ek_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("ek_public", sa.LargeBinary(), nullable=False),
        sa.Column("ek_chain", sa.LargeBinary(), nullable=False),
        sa.Column("ak_public", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_credential_challenges")),
    )
    op.create_index(
        op.f("ix_credential_challenges_ek_sha256_expires_at"),
        "credential_challenges",
        ["ek_sha256", "expires_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credential_challenges_expires_at"), "credential_challenges", ["expires_at"], unique=False
    )
    op.create_table(
        "devices",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("identity_spki", sa.LargeBinary(), nullable=False),
        sa.Column("identity_certificate", sa.LargeBinary(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("presence", sa.Text(), nullable=False),
        sa.Column("assurance", sa.Text(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("resets", sa.BigInteger(), nullable=False),
        sa.Column("needs_ticket", sa.Boolean(), nullable=False),
        sa.Column("pending_until", sa.BigInteger(), nullable=True),
        sa.Column("activated_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("reported", sa.Text(), nullable=True),
        sa.Column("assigned_account_id", sa.Text(), nullable=True),
        sa.Column("release_at", sa.BigInteger(), nullable=True),
        sa.Column("channel_spki", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("registry_key", name=op.f("pk_devices")),
        sa.UniqueConstraint("device_id", name=op.f("uq_devices_device_id")),
    )
    op.create_index(op.f("ix_devices_account_id"), "devices", ["account_id"], unique=False)
    op.create_index(op.f("ix_devices_release_at"), "devices", ["release_at"], unique=False)
    op.create_table(
        "endings",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_endings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_endings_ended_at"), "endings", ["ended_at"], unique=False)
    op.create_index(op.f("ix_endings_kind_key"), "endings", ["kind", "key"], unique=False)
    op.create_table(
        "factor_tries",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_factor_tries")),
    )
    op.create_index(op.f("ix_factor_tries_ends_at"), "factor_tries", ["ends_at"], unique=False)
    op.create_table(
        "invites",
        sa.Column("secret_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("operator", sa.Boolean(), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("secret_mac", name=op.f("pk_invites")),
    )
    op.create_table(
        "login_throttles",
        sa.Column("bucket", sa.LargeBinary(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before_at", sa.BigInteger(), nullable=False),
        sa.Column("forget_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_login_throttles")),
    )
    op.create_index("ix_login_throttles_forget_at", "login_throttles", ["forget_at"], unique=False)
    op.create_table(
        "mail_outbox",
        sa.Column("mail_id", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_mail_outbox")),
    )
    op.create_index("ix_mail_outbox_state_next_attempt_at", "mail_outbox", ["state", "next_attempt_at"], unique=False)
    op.create_table(
        "presence",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_presence")),
    )
    op.create_index(op.f("ix_presence_node_id"), "presence", ["node_id"], unique=False)
    op.create_table(
        "proofs_seen",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_proofs_seen")),
    )
    op.create_index("ix_proofs_seen_expires_at", "proofs_seen", ["expires_at"], unique=False)
    op.create_table(
        "relay_nodes",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_relay_nodes")),
    )
    op.create_table(
        "relay_tickets",
        sa.Column("ticket_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("token_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_mac", name=op.f("pk_relay_tickets")),
    )
    op.create_index(op.f("ix_relay_tickets_expires_at"), "relay_tickets", ["expires_at"], unique=False)
    op.create_index(op.f("ix_relay_tickets_token_mac"), "relay_tickets", ["token_mac"], unique=False)
    op.create_table(
        "revocation_list",
        sa.Column("issuer", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("is_stale", sa.Boolean(), nullable=False),
        sa.Column("next_update", sa.BigInteger(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_revocation_list")),
    )
    op.create_table(
        "sms_outbox",
        sa.Column("sms_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sms_id", name=op.f("pk_sms_outbox")),
    )
    op.create_index("ix_sms_outbox_state_next_attempt_at", "sms_outbox", ["state", "next_attempt_at"], unique=False)
    op.create_table(
        "spent_nonces",
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_spent_nonces")),
    )
    op.create_index(op.f("ix_spent_nonces_expires_at"), "spent_nonces", ["expires_at"], unique=False)
    op.create_table(
        "account_factors",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_account_factors_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_factors")),
    )
    op.create_table(
        "activations",
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("request_mac", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_activations_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("challenge", name=op.f("pk_activations")),
    )
    op.create_index(op.f("ix_activations_registry_key"), "activations", ["registry_key"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_approvals_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_approvals_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("registry_key", "account_id", "epoch", name=op.f("pk_approvals")),
    )
    op.create_index(
        op.f("ix_approvals_account_id_expires_at"), "approvals", ["account_id", "expires_at"], unique=False
    )
    op.create_index(op.f("ix_approvals_expires_at"), "approvals", ["expires_at"], unique=False)
    op.create_table(
        "certificates",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("ticket_mac", sa.LargeBinary(), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revocation_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_certificates_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificates")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_certificates_fingerprint")),
    )
    op.create_index(
        op.f("ix_certificates_registry_key_issued_at"), "certificates", ["registry_key", "issued_at"], unique=False
    )
    op.create_index(op.f("ix_certificates_revoked_at"), "certificates", ["revoked_at"], unique=False)
    op.create_index(op.f("ix_certificates_spki_sha256"), "certificates", ["spki_sha256"], unique=False)
    op.create_table(
        "device_logins",
        sa.Column("ticket_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_device_logins_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_device_logins_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_mac", name=op.f("pk_device_logins")),
    )
    op.create_index(op.f("ix_device_logins_expires_at"), "device_logins", ["expires_at"], unique=False)
    op.create_table(
        "endorsement_keys",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("ek_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("listed_certificate", sa.LargeBinary(), nullable=True),
        sa.Column("ek_public", sa.LargeBinary(), nullable=True),
        sa.Column("ak_public", sa.LargeBinary(), nullable=True),
        sa.Column("proven_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_endorsement_keys_registry_key")
        ),
        sa.PrimaryKeyConstraint("registry_key", name=op.f("pk_endorsement_keys")),
        sa.UniqueConstraint("ek_sha256", name=op.f("uq_endorsement_keys_ek_sha256")),
    )
    op.create_table(
        "enrolment_codes",
        sa.Column("code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("bound_to", sa.Text(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_enrolment_codes_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_mac", name=op.f("pk_enrolment_codes")),
    )
    op.create_index(
        op.f("ix_enrolment_codes_account_id_made_by"), "enrolment_codes", ["account_id", "made_by"], unique=False
    )
    op.create_index(op.f("ix_enrolment_codes_expires_at"), "enrolment_codes", ["expires_at"], unique=False)
    op.create_table(
        "phones",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("candidate", sa.LargeBinary(), nullable=True),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_phones_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_phones")),
    )
    op.create_table(
        "premises_networks",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_premises_networks_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "name", name=op.f("pk_premises_networks")),
    )
    op.create_table(
        "reading_batches",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pack_sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_key"],
            ["devices.registry_key"],
            name=op.f("fk_reading_batches_registry_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_key", "epoch", "sequence", name=op.f("pk_reading_batches")),
    )
    op.create_table(
        "reading_consents",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_reading_consents_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_key"],
            ["devices.registry_key"],
            name=op.f("fk_reading_consents_registry_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_key", "name", name=op.f("pk_reading_consents")),
    )
    op.create_index(op.f("ix_reading_consents_account_id"), "reading_consents", ["account_id"], unique=False)
    op.create_table(
        "readings",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("word", sa.Text(), nullable=True),
        sa.Column("measured_at", sa.Double(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("skew_s", sa.BigInteger(), nullable=False),
        sa.Column("assurance", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_readings_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_readings_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("registry_key", "epoch", "sequence", "position", name=op.f("pk_readings")),
    )
    op.create_index(op.f("ix_readings_account_id"), "readings", ["account_id"], unique=False)
    op.create_table(
        "sightings",
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("alerted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_sightings_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("registry_key", "place", name=op.f("pk_sightings")),
    )
    op.create_table(
        "sms_codes",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("bound_to", sa.Text(), nullable=False),
        sa.Column("code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_sms_codes_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "bound_to", name=op.f("pk_sms_codes")),
    )
    op.create_index(op.f("ix_sms_codes_expires_at"), "sms_codes", ["expires_at"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("ticket_mac", sa.LargeBinary(), nullable=False),
        sa.Column("registry_key", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_spki_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registry_key"], ["devices.registry_key"], name=op.f("fk_tickets_registry_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_mac", name=op.f("pk_tickets")),
    )
    op.create_index(op.f("ix_tickets_registry_key"), "tickets", ["registry_key"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("token_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_tokens_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_mac", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"], unique=False)
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"], unique=False)
    op.create_table(
        "totp_seeds",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_totp_seeds_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_totp_seeds")),
    )
    op.create_table(
        "trusted_apps",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_trusted_apps_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "jkt", name=op.f("pk_trusted_apps")),
    )
    op.create_table(
        "attestations",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("challenge_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=32), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["credential_challenges.challenge_id"], name=op.f("fk_attestations_challenge_id")
        ),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_attestations_serial"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_attestations")),
        sa.UniqueConstraint("challenge_id", name=op.f("uq_attestations_challenge_id")),
    )
    create_triggers(op.get_bind())
