"""What a guest is told by mail. Whether the address has an account makes no difference to anybody."""

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.mail.outbox import enqueue


class GuestMails:
    """Puts mails into the outbox, in the caller's transaction. `origin` is where guests log in."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    async def given(self, connection: AsyncConnection, email: str, owner_email: str, now: float) -> None:
        """Somebody was given a grant. The owner chooses nothing of the text: it can't be used to send others mail."""
        text = (
            f"{owner_email} has let you use a device.\n\nServer: {self._origin}\n\n"
            "If you have an account there, see what it is:\n\n"
            "    admit grants list\n\n"
            "If you have none, the operator of that server can invite you.\n"
        )
        await enqueue(connection, email, "You were let in", text, now)
