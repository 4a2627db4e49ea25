"""The port behind which mail leaves the server."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Mail:
    """One plain-text mail. `mail_id` is hexadecimal and becomes the Message-ID; `created_at` is in Unix seconds."""

    mail_id: str
    recipient: str
    subject: str
    text: str
    created_at: int


class MailTransport(Protocol):
    """Hands a mail to the next server."""

    async def send(self, mail: Mail) -> None:
        """Return when the next server has taken responsibility.

        Raises:
            Rejected: refused for good.
            Unavailable: not now; try again later.
        """
        ...
