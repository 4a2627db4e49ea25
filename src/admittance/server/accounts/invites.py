"""Invites: the only way to an account. A single-use link; accepting it sets the password.

An operator makes one for an address. An owner makes *open* ones, with a grant: whoever holds the link gives an
address of their own, and the account can own no device.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import (
    AlreadyUsed,
    AuthenticationFailed,
    Conflict,
    Expired,
    Malformed,
    NotAllowed,
    NotFound,
)
from admittance.server.accounts import store
from admittance.server.accounts.model import (
    AuthenticatedAccount,
    Invite,
    normalise_display_name,
    normalise_email,
)
from admittance.server.accounts.passwords import PasswordHashes, PasswordRules
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.accounts.throttle import LoginThrottle
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database

INVITE_TTL_S = 7 * 86_400
REPEAT_S = 3600
"""For this long after it was accepted an invite answers the same acceptance with the same account."""

MAX_QUOTA = 1_000_000
_UNKNOWN = "This invitation does not exist. Check that the whole link was copied."
_USED = "This invitation was used already. Log in with your password."
_TAKEN = (
    "This invitation can't be accepted with this address. If you have an account, log in and accept the invitation "
    "there; otherwise give another address."
)
_ANY_ADDRESS = ""


@dataclass(frozen=True)
class Accepted:
    """An invite that is being accepted, by an account that `is_new` or that was there before.

    `brought` are the ids of grants that the account has got by it.
    """

    secret_mac: bytes
    account_id: str
    email: str
    is_new: bool
    brought: list[bytes] = field(default_factory=list)


OnAccepted = Callable[[AsyncConnection, Accepted, float], Awaitable[None]]


async def _brings_nothing(_connection: AsyncConnection, _accepted: Accepted, _now: float) -> None:
    pass


class Invites:
    """Makes invites and turns them into accounts. `on_accepted` is told in the transaction that accepts; it is put in
    before any is accepted."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        hashes: PasswordHashes,
        rules: PasswordRules,
        throttle: LoginThrottle,
        mac_key: bytes,
        ttl_s: int = INVITE_TTL_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._hashes = hashes
        self._rules = rules
        self._throttle = throttle
        self._ttl_s = ttl_s
        self._hasher = SecretHasher(mac_key, "invite")
        self.on_accepted: OnAccepted = _brings_nothing

    async def create(self, *, email: str, operator: bool, quota: int | None, actor: str) -> Invite:
        """Make an invite for one address.

        Args:
            quota: devices the account may own, or None for the server's default.
            actor: who does it, as the audit log names it.

        Raises:
            Malformed: no address, or an impossible quota.
            Conflict: the address has an account.
        """
        address = normalise_email(email)
        if quota is not None and not 0 <= quota <= MAX_QUOTA:
            raise Malformed(f"A quota is a number of devices from 0 to {MAX_QUOTA}.")
        secret = new_secret()
        mac = self._hasher.mac(secret)
        now = int(self._clock())
        invite = Invite(secret=secret, email=address, operator=operator, expires_at=now + self._ttl_s)
        async with self._database.transaction() as connection:
            if await store.find_by_email(connection, address) is not None:
                raise Conflict("This address has an account already.")
            await store.insert_invite(
                connection,
                secret_mac=mac,
                email=address,
                operator=operator,
                quota=quota,
                created_at=now,
                expires_at=invite.expires_at,
            )
            await self._audit.append(
                connection,
                event="invite.created",
                actor=actor,
                subject=_subject(mac),
                details={"operator": operator, "quota": quota},
                now=now,
            )
        return invite

    async def add_open(self, connection: AsyncConnection, now: float) -> tuple[Invite, bytes]:
        """Make an open invite in the caller's transaction; gives it, and the HMAC under which it is stored."""
        secret = new_secret()
        invite = Invite(secret=secret, email=_ANY_ADDRESS, operator=False, expires_at=int(now) + self._ttl_s)
        mac = self._hasher.mac(secret)
        await store.insert_invite(
            connection,
            secret_mac=mac,
            email=_ANY_ADDRESS,
            operator=False,
            quota=0,
            created_at=int(now),
            expires_at=invite.expires_at,
        )
        return invite, mac

    async def take_open(
        self, connection: AsyncConnection, secret: str, account: AuthenticatedAccount, now: float
    ) -> Accepted:
        """Use an open invite up for an account that is there already, in the caller's transaction.

        Raises:
            NotFound: no such invite, or it is for an address.
            Expired, AlreadyUsed: too late.
        """
        try:
            mac = self._hasher.mac(secret)
        except Malformed:
            raise NotFound(_UNKNOWN) from None
        invite = await store.find_invite(connection, mac)
        if invite is None or invite.email != _ANY_ADDRESS:
            raise NotFound(_UNKNOWN)
        if not await store.consume_invite(connection, mac, account_id=account.account_id, now=int(now)):
            if invite.account_id is not None:
                raise AlreadyUsed(_USED)
            raise Expired("This invitation has expired. Ask for another one.")
        return Accepted(mac, account.account_id, account.email, is_new=False)

    async def accept(self, *, secret: str, email: str, password: str, display_name: str, source: str) -> str:
        """Make the invited account and return its id; the same acceptance again returns the same id.

        Args:
            source: the network the request comes from, for the throttle.

        Raises:
            NotFound: no such invite.
            NotAllowed: the invite is for another address; or it is for any, and this one has an account.
            Malformed: the password or the display name breaks a rule.
            Expired, AlreadyUsed: too late, or accepted with another password.
            Conflict: the address got an account by another invite.
            Throttled: too many wrong passwords for an invite that was accepted.
        """
        try:
            mac = self._hasher.mac(secret)
        except Malformed:
            raise NotFound(_UNKNOWN) from None
        address = normalise_email(email)
        name = normalise_display_name(display_name)
        self._rules.check(password, email=address)
        async with self._database.read() as connection:
            invite = await store.find_invite(connection, mac)
        if invite is None:
            raise NotFound(_UNKNOWN)
        is_open = invite.email == _ANY_ADDRESS
        if not is_open and invite.email != address:
            raise NotAllowed("This invitation is for another address.")
        if invite.account_id is None:
            if is_open:
                await self._throttle.charge(email=address, source=source, now=self._clock())
            password_hash = await self._hashes.make(password)
            account_id = await self._consume(mac, address, name, password_hash, is_open=is_open)
            if account_id is not None:
                return account_id
        return await self._repeat(mac, address, password, source)

    async def _consume(self, mac: bytes, address: str, name: str, password_hash: str, *, is_open: bool) -> str | None:
        """Turn the invite into an account, or return None when it is no longer open."""
        account_id = secrets.token_hex(10)
        now = int(self._clock())
        try:
            async with self._database.transaction() as connection:
                if not await store.consume_invite(connection, mac, account_id=account_id, now=now):
                    return None
                invite = await store.find_invite(connection, mac)
                if invite is None:
                    return None
                await store.insert_account(
                    connection,
                    account_id=account_id,
                    email=address,
                    display_name=name,
                    operator=invite.operator,
                    quota=invite.quota,
                    password_hash=password_hash,
                    created_at=now,
                )
                await self.on_accepted(connection, Accepted(mac, account_id, address, is_new=True), now)
                await self._audit.append(
                    connection,
                    event="account.created",
                    actor=f"account:{account_id}",
                    subject=f"account:{account_id}",
                    details={"operator": invite.operator, "invite": _subject(mac)},
                    now=now,
                )
        except IntegrityError as error:
            if is_open:
                raise NotAllowed(_TAKEN) from error
            raise Conflict("This address has an account already. Log in with it.") from error
        return account_id

    async def _repeat(self, mac: bytes, address: str, password: str, source: str) -> str:
        """Answer an acceptance of an invite that is no longer open."""
        now = self._clock()
        async with self._database.read() as connection:
            invite = await store.find_invite(connection, mac)
            account = None
            if invite is not None and invite.account_id is not None:
                account = await store.find_by_id(connection, invite.account_id)
        if invite is None or invite.account_id is None:
            raise Expired("This invitation has expired. Ask for another one.")
        if account is None or account.email != address or now > invite.accepted_at + REPEAT_S:
            raise AlreadyUsed(_USED)
        await self._throttle.check(email=address, source=source, now=now)
        try:
            await self._hashes.verify(account.password_hash, password)
        except AuthenticationFailed:
            await self._throttle.charge(email=address, source=source, now=now)
            raise AlreadyUsed(_USED) from None
        account_id: str = account.account_id
        return account_id


def _subject(mac: bytes) -> str:
    """An invite in the audit log, which must not name people: its rows can't be erased."""
    return f"invite:{mac.hex()[:16]}"
