"""Mail over SMTP."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Literal

import aiosmtplib

from admittance.errors import Unavailable
from admittance.server.mail.port import Mail
from admittance.server.outbox import Rejected

TIMEOUT_S = 30

Security = Literal["starttls", "opportunistic", "tls"]


@dataclass(frozen=True)
class SmtpServer:
    """How to reach the next mail server.

    Attributes:
        security: `starttls` demands STARTTLS, `opportunistic` takes it when offered, `tls` speaks TLS from the start.
        sender: the From address, with or without a name.
        username: empty for a server that wants no login.
        trust: CA certificates to check the server against; None for those of the system.
    """

    host: str
    port: int
    sender: str
    security: Security = "opportunistic"
    username: str = ""
    password: str = field(default="", repr=False)
    trust: ssl.SSLContext | None = None


class SmtpTransport:
    """One connection a mail; mails are few."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, mail: Mail) -> None:
        """Raises `Rejected` or `Unavailable`."""
        server = self._server
        message = _compose(mail, server.sender)
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                use_tls=server.security == "tls",
                start_tls={"starttls": True, "opportunistic": None, "tls": False}[server.security],
                username=server.username or None,
                password=server.password or None,
                tls_context=server.trust,
                timeout=TIMEOUT_S,
            )
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            code = _worst_code(error)
            if 500 <= code < 600 and not isinstance(error, aiosmtplib.SMTPAuthenticationError):
                raise Rejected(f"The mail server refused the mail with code {code}.") from error
            raise Unavailable(f"The mail server did not take the mail now (code {code}).") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"The mail server could not be used: {type(error).__name__}.") from error


def _worst_code(error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPResponseException) -> int:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return error.code
    return min(recipient.code for recipient in error.recipients)


def _compose(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    _, address = parseaddr(sender)
    try:
        message["From"] = sender
        message["To"] = mail.recipient
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(mail.created_at, UTC))
        message["Message-ID"] = f"<{mail.mail_id}@{address.rpartition('@')[2] or 'localhost'}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
    except (ValueError, MessageError) as error:
        raise Rejected("The mail cannot be written: its address or subject is not allowed.") from error
    return message
