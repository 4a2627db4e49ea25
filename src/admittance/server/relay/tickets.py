"""Relay tickets: for apps that can't send headers with a WebSocket's upgrade, as in a browser. Each is good once."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, Throttled
from admittance.server.accounts.store import tokens
from admittance.server.clock import Clock
from admittance.server.database import Database, metadata

TICKET_BYTES = 32
TICKET_TTL_S = 30
MAX_OPEN_TICKETS = 32
_FAILED = "The connection is not authenticated."

relay_tickets = Table(
    "relay_tickets",
    metadata,
    Column("ticket_mac", LargeBinary(32), primary_key=True),
    Column("token_mac", LargeBinary(32), nullable=False),
    Column("device_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "token_mac"),
    Index(None, "expires_at"),
)
"""`token_mac` is of the token that asked for the ticket; when that has ended, the ticket has."""


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """The account of an app. `token_key` names its token to whoever hears that it ended; it ends at `expires_at`.

    Until `attested_until` (Unix time) the app is attested, None if it is not. What the account may do with the device
    ends at `access_until`, None for an owner.
    """

    account_id: str
    token_key: str
    expires_at: int
    attested_until: int | None = None
    access_until: int | None = None


class Tickets:
    """Issues and redeems; only an HMAC of a ticket is stored."""

    def __init__(
        self, *, database: Database, key: bytes, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._database = database
        self._key = hmac.digest(key, b"admittance/relay-ticket/1", "sha256")
        self._clock = clock
        self._random = random

    async def issue(self, token_mac: bytes, device_id: str) -> bytes:
        """A ticket (32 bytes) for that device, for whoever holds the token.

        Raises `Throttled` where `MAX_OPEN_TICKETS` of one token wait to be used.
        """
        ticket, now = self._random(TICKET_BYTES), int(self._clock())
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(relay_tickets).where(relay_tickets.c.token_mac == token_mac, relay_tickets.c.expires_at <= now)
            )
            if await _count(connection, token_mac) >= MAX_OPEN_TICKETS:
                raise Throttled(TICKET_TTL_S)
            values = {
                "ticket_mac": self._mac(ticket),
                "token_mac": token_mac,
                "device_id": device_id,
                "expires_at": now + TICKET_TTL_S,
            }
            await connection.execute(insert(relay_tickets), values)
        return ticket

    async def redeem(self, ticket: bytes, device_id: str) -> AppIdentity:
        """Use a ticket up. Raises `AuthenticationFailed`, whatever is wrong with it."""
        columns, now = relay_tickets.c, int(self._clock())
        use_up = (
            delete(relay_tickets)
            .where(columns.ticket_mac == self._mac(ticket))
            .returning(columns.token_mac, columns.device_id, columns.expires_at)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(use_up)).first()
            owner = None
            if row is not None:
                living = select(tokens.c.account_id, tokens.c.expires_at).where(
                    tokens.c.token_mac == row.token_mac, tokens.c.expires_at > now
                )
                owner = (await connection.execute(living)).first()
        if row is None or owner is None or row.expires_at <= now or row.device_id != device_id:
            raise AuthenticationFailed(_FAILED)
        return AppIdentity(owner.account_id, row.token_mac.hex(), owner.expires_at)

    def _mac(self, ticket: bytes) -> bytes:
        return hmac.digest(self._key, ticket, "sha256")


async def _count(connection: AsyncConnection, token_mac: bytes) -> int:
    query = select(func.count()).select_from(relay_tickets).where(relay_tickets.c.token_mac == token_mac)
    return (await connection.execute(query)).scalar_one()
