"""Putting mail into the outbox."""

import secrets

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.mail.store import outbox

MAX_SUBJECT_CHARACTERS = 200
_ENQUEUE = insert(outbox)


async def enqueue(connection: AsyncConnection, to: str, subject: str, text: str, now: float) -> str:
    """Write a mail in the caller's transaction: it is sent if, and only if, that transaction commits.

    Args:
        to: one address.
        subject: made one line of at most 200 characters.
        text: plain text without secrets, since the outbox is not encrypted.

    Returns:
        The mail's id, which is also its Message-ID, so that a mail sent twice can be told from two mails.
    """
    mail_id = secrets.token_hex(16)
    row = {
        "mail_id": mail_id,
        "recipient": to,
        "subject": " ".join(subject.split())[:MAX_SUBJECT_CHARACTERS],
        "text": text,
        "created_at": int(now),
        "attempts": 0,
        "next_attempt_at": int(now),
        "state": "waiting",
        "last_error": "",
    }
    await connection.execute(_ENQUEUE, row)
    return mail_id
