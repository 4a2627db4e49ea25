"""What tests need of the authorization server to log somebody in: its ground, and tokens without a password."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from admittance.client.dpop import DpopKey
from admittance.client.oauth.pkce import Pkce
from admittance.server.access.assembly import Ground, LoginServices
from admittance.server.access.clients import FIRST_PARTY
from admittance.server.access.model import TokenAnswer
from admittance.server.access.sessions import new_session_id
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.audit.store import AuditLog
from admittance.server.database import Database
from admittance.server.keys.token_keys import TokenKeys, create_token_key

EVERY_SCOPE = FIRST_PARTY.scope
CLIENT_ID = FIRST_PARTY.client_id


def ground(
    database: Database,
    clock: Callable[[], float],
    *,
    origin: str,
    folder: Path | None = None,
    audit_key: bytes = bytes(32),
) -> Ground:
    """Of a server that has just made its keys."""
    keys = folder or Path(tempfile.mkdtemp(prefix="token-keys-"))
    create_token_key(keys, 0)
    return Ground(
        database=database,
        clock=clock,
        audit=AuditLog(audit_key),
        origin=origin,
        code_key=bytes(32),
        token_keys=TokenKeys(keys),
    )


def authenticated(
    account_id: str, *, jkt: str, operator: bool = False, session_id: str = "", attested_until: int | None = None
) -> AuthenticatedAccount:
    """An account as the gate gives it, with every scope."""
    return AuthenticatedAccount(
        account_id=account_id,
        email=f"{account_id}@example.org",
        operator=operator,
        jkt=jkt,
        client_id=CLIENT_ID,
        scope=EVERY_SCOPE,
        session_id=session_id or f"session-of-{account_id}",
        attested_until=attested_until,
    )


async def session_of(
    database: Database, logins: LoginServices, account_id: str, key: DpopKey, now: float
) -> tuple[str, TokenAnswer]:
    """A login of our own app: its session id and tokens."""
    session_id = new_session_id()
    async with database.transaction() as connection:
        session = await logins.sessions.begin(
            connection,
            session_id=session_id,
            account_id=account_id,
            client=FIRST_PARTY,
            jkt=key.jkt,
            scope=EVERY_SCOPE,
            audience=logins.tokens.issuer,
            by="test",
            now=now,
        )
    return session_id, logins.sessions.answer(session, refreshable=True)


def challenge_form(email: str, password: str, pkce: Pkce, **changes: str) -> dict[str, str]:
    """Of `POST /oauth/authorize-challenge`."""
    return {
        "client_id": CLIENT_ID,
        "username": email,
        "password": password,
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        **changes,
    }


def code_form(code: str, pkce: Pkce, **changes: str) -> dict[str, str]:
    """Of `POST /oauth/token` for a code."""
    return {
        "client_id": CLIENT_ID,
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": pkce.verifier,
        **changes,
    }
