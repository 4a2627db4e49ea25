"""What the rest of the server asks of accounts, and the composition of this package."""

import hmac
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import NotFound
from admittance.server.accounts import store
from admittance.server.accounts.authenticate import Authenticator, LivingSessions
from admittance.server.accounts.dpop import Nonces, ProofVerifier
from admittance.server.accounts.invites import INVITE_TTL_S, Invites
from admittance.server.accounts.model import Account
from admittance.server.accounts.networks import Networks
from admittance.server.accounts.password_check import PasswordCheck
from admittance.server.accounts.passwords import PasswordHashes, PasswordRules, read_breached_hashes
from admittance.server.accounts.replays import ReplayCache
from admittance.server.accounts.throttle import LoginThrottle
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.keys.envelope import Envelope


class Accounts:
    """Reads accounts."""

    def __init__(self, *, database: Database, default_quota: int) -> None:
        self._database = database
        self._default_quota = default_quota

    async def get(self, account_id: str) -> Account:
        """Raises `NotFound`."""
        async with self._database.read() as connection:
            row = await store.find_by_id(connection, account_id)
        if row is None:
            raise NotFound("This account does not exist.")
        return store.account_of(row, self._default_quota)

    async def lock(self, connection: AsyncConnection, account_id: str) -> Account:
        """Read an account and keep others from locking it until the caller's transaction ends.

        A decision against the account's quota holds this lock, so that two activations at once can't both take the
        last place. Raises `NotFound`.
        """
        row = await store.lock_account(connection, account_id)
        if row is None:
            raise NotFound("This account does not exist.")
        return store.account_of(row, self._default_quota)


@dataclass(frozen=True)
class AccountServices:
    """Everything of this package that is put together once, at start."""

    accounts: Accounts
    invites: Invites
    sessions: LivingSessions
    networks: Networks
    authenticator: Authenticator
    passwords: PasswordCheck
    throttle: LoginThrottle
    verifier: ProofVerifier
    replays: ReplayCache


def build(
    *,
    database: Database,
    clock: Clock,
    audit: AuditLog,
    envelope: Envelope,
    origin: str,
    code_key: bytes,
    dpop_nonce_key: bytes,
    default_quota: int,
    sessions: LivingSessions,
    invite_ttl_s: int = INVITE_TTL_S,
    breach_list: Path | None = None,
    hashes: PasswordHashes | None = None,
) -> AccountServices:
    """Compose the services.

    Args:
        origin: the server's own origin, such as `https://admittance.example`; DPoP proofs must name it.
        code_key: 32 bytes; invites, tokens and throttle buckets are stored as HMACs under a key derived from it.
        dpop_nonce_key: 32 bytes, the same on all nodes.
        default_quota: devices an account may own where its invite said nothing else.
        sessions: the logins that access tokens belong to.
        breach_list: a file of SHA-1 hashes of passwords to refuse.
        hashes: argon2id with other costs than the default.

    Raises:
        ConfigurationError: the breach list can't be read.
    """
    mac_key = hmac.digest(code_key, b"admittance/accounts/1", "sha256")
    hashes = hashes or PasswordHashes()
    rules = PasswordRules(read_breached_hashes(breach_list) if breach_list else ())
    throttle = LoginThrottle(database, mac_key)
    replays = ReplayCache()
    verifier = ProofVerifier(origin=origin, nonces=Nonces(dpop_nonce_key))
    invites = Invites(
        database=database,
        clock=clock,
        audit=audit,
        hashes=hashes,
        rules=rules,
        throttle=throttle,
        mac_key=mac_key,
        ttl_s=invite_ttl_s,
    )
    return AccountServices(
        accounts=Accounts(database=database, default_quota=default_quota),
        invites=invites,
        sessions=sessions,
        networks=Networks(database=database, clock=clock, audit=audit, envelope=envelope),
        passwords=PasswordCheck(database=database, clock=clock, hashes=hashes, throttle=throttle),
        throttle=throttle,
        authenticator=Authenticator(
            database=database, clock=clock, sessions=sessions, verifier=verifier, replays=replays
        ),
        verifier=verifier,
        replays=replays,
    )
