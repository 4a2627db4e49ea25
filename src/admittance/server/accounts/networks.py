"""Stored premises networks, for accounts that let the server hold them. At rest they are under the envelope."""

import re
from dataclasses import dataclass, field

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed, NotFound, QuotaExceeded
from admittance.server.accounts import store
from admittance.server.accounts.store import premises_networks
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.keys.envelope import Envelope
from admittance.wire import cbor, message
from admittance.wire.message import Message

MAX_NETWORKS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_PASSPHRASE = re.compile(r"[\x20-\x7e]{8,63}|[0-9A-Fa-f]{64}|")


@dataclass(frozen=True)
class PremisesNetwork:
    """The Wi-Fi that devices shall join. `passphrase` is empty for an open network; it leaves only sealed."""

    name: str
    ssid: str
    passphrase: str = field(repr=False)


class _Stored(Message, frozen=True, tag="admittance/stored-network/1"):
    """What the envelope seals."""

    ssid: str
    passphrase: str


class Networks:
    """Keeps the networks of accounts."""

    def __init__(self, *, database: Database, clock: Clock, audit: AuditLog, envelope: Envelope) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._envelope = envelope

    async def list(self, account_id: str) -> tuple[PremisesNetwork, ...]:
        """The account's networks, ordered by name."""
        async with self._database.read() as connection:
            result = await connection.execute(
                select(premises_networks)
                .where(premises_networks.c.account_id == account_id)
                .order_by(premises_networks.c.name)
            )
            rows = result.all()
        return tuple(self._open(account_id, row.name, row.sealed) for row in rows)

    async def get(self, connection: AsyncConnection, account_id: str, name: str) -> PremisesNetwork:
        """One network with its passphrase, to be sealed for a device.

        Raises:
            NotFound: the account has no network of that name.
        """
        result = await connection.execute(
            select(premises_networks.c.sealed).where(
                premises_networks.c.account_id == account_id, premises_networks.c.name == name
            )
        )
        row = result.first()
        if row is None:
            raise NotFound("You have stored no network of that name.")
        return self._open(account_id, name, row.sealed)

    async def put(self, account_id: str, network: PremisesNetwork) -> None:
        """Store a network, in place of one with the same name.

        Raises:
            Malformed: the name, the SSID or the passphrase breaks a rule.
            QuotaExceeded: the account has 32 networks.
        """
        _check(network)
        sealed = self._envelope.seal(
            message.encode(_Stored(network.ssid, network.passphrase)), _context(account_id, network.name)
        )
        now = int(self._clock())
        table = premises_networks
        async with self._database.transaction() as connection:
            await store.lock_account(connection, account_id)
            changed = await connection.execute(
                update(table)
                .where(table.c.account_id == account_id, table.c.name == network.name)
                .values(sealed=sealed, updated_at=now)
            )
            if changed.rowcount == 0:
                count = select(func.count()).select_from(table).where(table.c.account_id == account_id)
                if (await connection.execute(count)).scalar_one() >= MAX_NETWORKS:
                    raise QuotaExceeded(f"An account stores at most {MAX_NETWORKS} networks.")
                await connection.execute(
                    insert(table).values(account_id=account_id, name=network.name, sealed=sealed, updated_at=now)
                )
            await self._record(connection, account_id, network.name, "network.stored", now)

    async def remove(self, account_id: str, name: str) -> None:
        """Forget a network.

        Raises:
            NotFound: the account has no network of that name.
        """
        now = int(self._clock())
        async with self._database.transaction() as connection:
            removed = await connection.execute(
                delete(premises_networks).where(
                    premises_networks.c.account_id == account_id, premises_networks.c.name == name
                )
            )
            if removed.rowcount == 0:
                raise NotFound("You have stored no network of that name.")
            await self._record(connection, account_id, name, "network.removed", now)

    async def _record(self, connection: AsyncConnection, account_id: str, name: str, event: str, now: int) -> None:
        await self._audit.append(
            connection,
            event=event,
            actor=f"account:{account_id}",
            subject=f"account:{account_id}",
            details={"network": name},
            now=now,
        )

    def _open(self, account_id: str, name: str, sealed: bytes) -> PremisesNetwork:
        stored = message.decode(self._envelope.open(sealed, _context(account_id, name)), _Stored)
        return PremisesNetwork(name=name, ssid=stored.ssid, passphrase=stored.passphrase)


def _context(account_id: str, name: str) -> bytes:
    return cbor.encode(["admittance/premises-network/1", account_id, name])


def _check(network: PremisesNetwork) -> None:
    if _NAME.fullmatch(network.name) is None:
        raise Malformed("A network's name has 1 to 32 letters, digits, dots, hyphens or underscores.")
    if not 1 <= len(network.ssid.encode()) <= 32:
        raise Malformed("An SSID has 1 to 32 bytes.")
    if _PASSPHRASE.fullmatch(network.passphrase) is None:
        raise Malformed("A passphrase has 8 to 63 printable ASCII characters, or 64 hexadecimal digits.")
