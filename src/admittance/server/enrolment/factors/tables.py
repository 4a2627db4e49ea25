"""Tables of second factors. Codes are stored as HMACs, seeds and numbers under the envelope."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from admittance.server.database import metadata


def _of_account(*, is_key: bool = False) -> Column[str]:
    reference = ForeignKey("accounts.account_id", ondelete="CASCADE")
    return Column("account_id", Text, reference, primary_key=is_key, nullable=False)


def _of_device(*, is_key: bool = False) -> Column[bytes]:
    reference = ForeignKey("devices.registry_key", ondelete="CASCADE")
    return Column("registry_key", LargeBinary, reference, primary_key=is_key, nullable=False)


enrolment_codes = Table(
    "enrolment_codes",
    metadata,
    Column("code_mac", LargeBinary(32), primary_key=True),
    _of_account(),
    Column("made_by", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("bound_to", Text),
    Column("used_at", BigInteger),
    Index(None, "account_id", "made_by"),
    Index(None, "expires_at"),
)

sms_codes = Table(
    "sms_codes",
    metadata,
    _of_account(is_key=True),
    Column("bound_to", Text, primary_key=True),
    Column("code_mac", LargeBinary(32), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index(None, "expires_at"),
)

totp_seeds = Table(
    "totp_seeds",
    metadata,
    _of_account(is_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("last_step", BigInteger, nullable=False),
)

phones = Table(
    "phones",
    metadata,
    _of_account(is_key=True),
    Column("sealed", LargeBinary),
    Column("candidate", LargeBinary),
    Column("verified_at", BigInteger),
)

account_factors = Table(
    "account_factors",
    metadata,
    _of_account(is_key=True),
    Column("kinds", Text, nullable=False),
)

factor_tries = Table(
    "factor_tries",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Index(None, "ends_at"),
)

approvals = Table(
    "approvals",
    metadata,
    _of_device(is_key=True),
    _of_account(is_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decision", Text),
    Column("decided_at", BigInteger),
    Column("used_at", BigInteger),
    Index(None, "account_id", "expires_at"),
    Index(None, "expires_at"),
)

device_logins = Table(
    "device_logins",
    metadata,
    Column("ticket_mac", LargeBinary(32), primary_key=True),
    _of_device(),
    _of_account(),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)
