"""Putting messages into the outbox, and taking them out."""

import secrets

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.keys.envelope import Envelope
from admittance.server.sms.port import Sms
from admittance.server.sms.store import outbox
from admittance.wire import message
from admittance.wire.message import Message


class _Stored(Message, frozen=True, tag="admittance/stored-sms/1"):
    """What the envelope seals."""

    number: str
    text: str


class SmsOutbox:
    """Writes in the caller's transaction: a message is sent if, and only if, that transaction commits."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    async def enqueue(self, connection: AsyncConnection, number: str, text: str, now: float) -> str:
        """Returns the message's id."""
        sms_id = secrets.token_hex(16)
        sealed = self._envelope.seal(message.encode(_Stored(number, text)), _context(sms_id))
        await connection.execute(
            insert(outbox).values(
                sms_id=sms_id,
                sealed=sealed,
                created_at=int(now),
                attempts=0,
                next_attempt_at=int(now),
                state="waiting",
                last_error="",
            )
        )
        return sms_id

    def open(self, sms_id: str, sealed: bytes) -> Sms:
        stored = message.decode(self._envelope.open(sealed, _context(sms_id)), _Stored)
        return Sms(sms_id, stored.number, stored.text)


def _context(sms_id: str) -> bytes:
    return b"admittance/sms/1|" + sms_id.encode()
