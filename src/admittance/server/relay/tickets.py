"""Relay tickets: for apps that can't send headers with a WebSocket's upgrade, as in a browser. Each is good once."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, Throttled
from admittance.server.access.tables import oauth_sessions
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
    Column("session_id", Text, nullable=False),
    Column("device_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("attested_until", BigInteger),
    Index(None, "session_id"),
    Index(None, "expires_at"),
)
"""`session_id` is of the login that asked for the ticket; when that has ended, the ticket has."""


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """The account of an app, and the login that it came by, which ends at `expires_at`.

    Until `attested_until` (Unix time) the app is attested, None if it is not. What the account may do with the device
    ends at `access_until`, None for an owner.
    """

    account_id: str
    session_id: str
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

    async def issue(self, session_id: str, device_id: str, attested_until: int | None) -> bytes:
        """A ticket (32 bytes) for that device, for the app of that login, which is attested until then.

        Raises `Throttled` where `MAX_OPEN_TICKETS` of one login wait to be used.
        """
        ticket, now = self._random(TICKET_BYTES), int(self._clock())
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(relay_tickets).where(
                    relay_tickets.c.session_id == session_id, relay_tickets.c.expires_at <= now
                )
            )
            if await _count(connection, session_id) >= MAX_OPEN_TICKETS:
                raise Throttled(TICKET_TTL_S)
            values = {
                "ticket_mac": self._mac(ticket),
                "session_id": session_id,
                "device_id": device_id,
                "expires_at": now + TICKET_TTL_S,
                "attested_until": attested_until,
            }
            await connection.execute(insert(relay_tickets), values)
        return ticket

    async def redeem(self, ticket: bytes, device_id: str) -> AppIdentity:
        """Use a ticket up. Raises `AuthenticationFailed`, whatever is wrong with it."""
        columns, now = relay_tickets.c, int(self._clock())
        use_up = (
            delete(relay_tickets)
            .where(columns.ticket_mac == self._mac(ticket))
            .returning(columns.session_id, columns.device_id, columns.expires_at, columns.attested_until)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(use_up)).first()
            owner = None
            if row is not None:
                living = select(oauth_sessions.c.account_id, oauth_sessions.c.expires_at).where(
                    oauth_sessions.c.session_id == row.session_id, oauth_sessions.c.expires_at > now
                )
                owner = (await connection.execute(living)).first()
        if row is None or owner is None or row.expires_at <= now or row.device_id != device_id:
            raise AuthenticationFailed(_FAILED)
        return AppIdentity(owner.account_id, row.session_id, owner.expires_at, row.attested_until)

    def _mac(self, ticket: bytes) -> bytes:
        return hmac.digest(self._key, ticket, "sha256")


async def _count(connection: AsyncConnection, session_id: str) -> int:
    query = select(func.count()).select_from(relay_tickets).where(relay_tickets.c.session_id == session_id)
    return (await connection.execute(query)).scalar_one()
