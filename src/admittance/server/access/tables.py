"""Tables of the authorization server."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from admittance.server.database import metadata

oauth_clients = Table(
    "oauth_clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("authentication", Text, nullable=False),
    Column("secret_mac", LargeBinary(32), nullable=True),
    Column("keys", Text, nullable=True),
    Column("certificate", LargeBinary, nullable=True),
    Column("grants", Text, nullable=False),
    Column("redirect_uris", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

oauth_audiences = Table(
    "oauth_audiences",
    metadata,
    Column("audience", Text, primary_key=True),
    Column(
        "client_id",
        Text,
        ForeignKey("oauth_clients.client_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Index(None, "client_id"),
)
"""Resources (RFC 8707) and the client that serves each: it may introspect the tokens for it."""

oauth_sessions = Table(
    "oauth_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("jkt", Text, nullable=True),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("rotation", Integer, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "account_id"),
    Index(None, "client_id"),
    Index(None, "expires_at"),
)
"""`rotation` counts the refresh tokens that were used: only the one of that number is good."""

oauth_codes = Table(
    "oauth_codes",
    metadata,
    Column("code_mac", LargeBinary(32), primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("jkt", Text, nullable=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("session_id", Text, nullable=True),
    Index(None, "account_id"),
    Index(None, "expires_at"),
)
"""`session_id` is set when the code is used: a second use ends that session."""

oauth_pushed_requests = Table(
    "oauth_pushed_requests",
    metadata,
    Column("request_mac", LargeBinary(32), primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)

oauth_flows = Table(
    "oauth_flows",
    metadata,
    Column("flow_mac", LargeBinary(32), primary_key=True),
    Column("browser_mac", LargeBinary(32), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("device_code_mac", LargeBinary(32), nullable=True),
    Column("account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), nullable=True),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "account_id"),
    Index(None, "expires_at"),
)
"""What one person is doing in one browser: an authorization request, or the answer to a device's code."""

oauth_device_codes = Table(
    "oauth_device_codes",
    metadata,
    Column("device_code_mac", LargeBinary(32), primary_key=True),
    Column("user_code_mac", LargeBinary(32), nullable=False, unique=True),
    Column("client_id", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("jkt", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.account_id", ondelete="CASCADE"), nullable=True),
    Column("interval_s", Integer, nullable=False),
    Column("poll_after", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "account_id"),
    Index(None, "expires_at"),
)

oauth_ended_tokens = Table(
    "oauth_ended_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)
"""Tokens without a session (client credentials) that were revoked before they expired."""
