"""The registry of mail transports: which scheme of `[mail] smtp` gives which."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from admittance.errors import ConfigurationError
from admittance.server.keys.file import read_secret
from admittance.server.mail.port import MailTransport
from admittance.server.mail.smtp import Security, SmtpServer, SmtpTransport


@dataclass(frozen=True)
class MailSettings:
    """What the configuration says about sending mail. `url` is split; its scheme chose the transport."""

    url: SplitResult
    sender: str
    username: str
    password: str = field(repr=False)
    trust: ssl.SSLContext | None


Factory = Callable[[MailSettings], MailTransport]


def _smtp(settings: MailSettings) -> MailTransport:
    demanded = bool(settings.username) or settings.url.query == "starttls=required"
    return SmtpTransport(_server(settings, 25, "starttls" if demanded else "opportunistic"))


def _smtps(settings: MailSettings) -> MailTransport:
    return SmtpTransport(_server(settings, 465, "tls"))


def _server(settings: MailSettings, default_port: int, security: Security) -> SmtpServer:
    return SmtpServer(
        host=settings.url.hostname or "",
        port=settings.url.port or default_port,
        sender=settings.sender,
        security=security,
        username=settings.username,
        password=settings.password,
        trust=settings.trust,
    )


TRANSPORTS: Mapping[str, Factory] = {"smtp": _smtp, "smtps": _smtps}


def transport_for(
    url: str,
    *,
    sender: str,
    username: str = "",
    password_file: Path | None = None,
    trust: ssl.SSLContext | None = None,
) -> MailTransport | None:
    """The transport that the configuration names, or None where mail only stays in the outbox (empty `url`).

    `smtp://host:port` takes STARTTLS when it is offered, and demands it when there is a login or the URL ends in
    `?starttls=required`; `smtps://host:port` speaks TLS from the start.

    Raises:
        ConfigurationError: another scheme, no host, or an unreadable password file.
    """
    if not url:
        return None
    parts = urlsplit(url)
    factory = TRANSPORTS.get(parts.scheme)
    if factory is None or not parts.hostname:
        raise ConfigurationError(f"[mail] smtp is no mail server; write {' or '.join(TRANSPORTS)}://host:port")
    password = read_secret(password_file).decode().strip() if password_file else ""
    return factory(MailSettings(parts, sender, username, password, trust))
