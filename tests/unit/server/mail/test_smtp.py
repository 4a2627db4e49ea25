"""SMTP against a real aiosmtpd, plain and with STARTTLS."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import ConfigurationError, Unavailable
from admittance.server.keys.file import create_secret
from admittance.server.mail.port import Mail, MailTransport
from admittance.server.mail.transports import transport_for
from admittance.server.outbox import Rejected

MAIL = Mail("ab12", "owner@example.org", "A device was enrolled – Lampe", "It is yours.\nGrüße", 1_800_000_000)
SENDER = "Admittance <admittance@server.example>"


class Inbox:
    """aiosmtpd's handler: keeps envelopes; answers what the test prepared."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.sessions: list[Session] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return self.answer


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / "smtp.crt", tmp_path / "smtp.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def server(inbox: Inbox) -> AsyncIterator[str]:
    async with _serving(inbox) as url:
        yield url


@pytest.fixture
async def tls_server(inbox: Inbox, certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def login(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
        right = isinstance(given, LoginPassword) and given.password == b"mail password"
        return AuthResult(success=right, handled=False)

    async with _serving(inbox, tls_context=context, require_starttls=True, authenticator=login) as url:
        yield url


@asynccontextmanager
async def _serving(inbox: Inbox, **options: Any) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(inbox, hostname="localhost", loop=loop, **options), "127.0.0.1", 0
    )
    async with listener:
        yield f"smtp://localhost:{listener.sockets[0].getsockname()[1]}"


def transport(url: str, **options: Any) -> MailTransport:
    made = transport_for(url, sender=SENDER, **options)
    assert made is not None
    return made


async def test_a_mail_arrives_whole(server: str, inbox: Inbox) -> None:
    await transport(server).send(MAIL)
    (envelope,) = inbox.envelopes
    assert envelope.rcpt_tos == ["owner@example.org"]
    assert envelope.mail_from == "admittance@server.example"
    message = _parse(envelope)
    assert message["Subject"] == MAIL.subject
    assert message["Message-ID"] == "<ab12@server.example>"
    assert message.get_content() == "It is yours.\r\nGrüße\r\n"


async def test_starttls_is_taken_when_offered_and_login_needs_it(
    tls_server: str, inbox: Inbox, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    password_file = tmp_path / "mail.password"
    create_secret(password_file, b"mail password\n")
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    await transport(tls_server, username="admittance", password_file=password_file, trust=trust).send(MAIL)
    assert inbox.sessions[0].ssl is not None


async def test_a_server_with_an_unknown_certificate_gets_no_mail(tls_server: str, inbox: Inbox) -> None:
    with pytest.raises(Unavailable):
        await transport(tls_server).send(MAIL)
    assert inbox.envelopes == []


async def test_a_server_without_starttls_gets_no_mail_where_it_is_demanded(server: str, inbox: Inbox) -> None:
    with pytest.raises(Unavailable):
        await transport(server + "?starttls=required").send(MAIL)
    assert inbox.envelopes == []


async def test_a_lasting_refusal_and_a_passing_one_are_told_apart(server: str, inbox: Inbox) -> None:
    inbox.answer = "550 no such user"
    with pytest.raises(Rejected):
        await transport(server).send(MAIL)
    inbox.answer = "451 try later"
    with pytest.raises(Unavailable):
        await transport(server).send(MAIL)


async def test_nobody_listening_is_a_passing_failure(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable):
        await transport(f"smtp://localhost:{unused_tcp_port}").send(MAIL)


async def test_a_mail_that_cannot_be_written_is_rejected(server: str) -> None:
    with pytest.raises(Rejected):
        await transport(server).send(Mail("ab12", "owner@example.org\nBcc: x@y", "s", "t", 0))


def test_without_a_server_mail_stays_in_the_outbox() -> None:
    assert transport_for("", sender=SENDER) is None


@pytest.mark.parametrize("url", ["http://localhost:25", "smtp://", "localhost"])
def test_another_url_is_an_error_of_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError):
        transport_for(url, sender=SENDER)


def _parse(envelope: Envelope) -> EmailMessage:
    content = envelope.content
    assert isinstance(content, bytes)
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message
