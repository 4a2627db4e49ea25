"""TLS of the listeners: their contexts, and the certificates in them, which renew while the server runs."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from starlette.types import Scope

from admittance.errors import ConfigurationError
from admittance.server.keys import certificates
from admittance.server.keys.file import check_private, replace_file
from admittance.server.keystore import Authority

RENEW_BEFORE = timedelta(days=certificates.TLS_DAYS / 3)

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class Certificate(Protocol):
    """Where a listener's certificate and key come from."""

    def refresh(self, now: float) -> bool:
        """Make what is due; True if what `load` gives has changed since the last call."""
        ...

    def load(self, context: ssl.SSLContext) -> None:
        """Put certificate and key into `context`. Raises `ConfigurationError`."""
        ...


class ListenerContext(ssl.SSLContext):
    """A context that knows the leaf (PEM) of the certificate that it shows."""

    leaf_pem: str | None = None


class OwnCertificate:
    """A certificate from one of the server's own CAs, in one private file with its key; renewed in time.

    `hosts` are DNS names and IP addresses.
    """

    def __init__(self, path: Path, hosts: tuple[str, ...], issuer: Authority) -> None:
        self._path = path
        self._hosts = hosts
        self._issuer = issuer

    def refresh(self, now: float) -> bool:
        if self._is_good(now):
            return False
        key = certificates.new_key()
        certificate = certificates.tls_certificate(
            key.public_key(), self._hosts, self._issuer.certificate, self._issuer.key, now
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        replace_file(self._path, private + certificate.public_bytes(serialization.Encoding.PEM))
        return True

    def load(self, context: ssl.SSLContext) -> None:
        _load(context, self._path, self._path)

    def _is_good(self, now: float) -> bool:
        try:
            check_private(self._path)
            certificate = x509.load_pem_x509_certificate(self._path.read_bytes())
            certificate.verify_directly_issued_by(self._issuer.certificate)
        except FileNotFoundError:
            return False
        except ConfigurationError:
            if not self._path.exists():
                return False
            raise
        except (ValueError, TypeError, InvalidSignature):
            return False
        left = certificate.not_valid_after_utc - datetime.fromtimestamp(now, UTC)
        return left > RENEW_BEFORE and certificates.covers(certificate, self._hosts)


class GivenCertificate:
    """A certificate and key that somebody else renews; taken up when the files change."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._seen: tuple[int, ...] = ()

    def refresh(self, now: float) -> bool:
        try:
            seen = tuple(path.stat().st_mtime_ns for path in (self._cert_file, self._key_file))
        except OSError as error:
            raise ConfigurationError(f"[tls] {error.filename}: {error.strerror}") from None
        changed = seen != self._seen
        self._seen = seen
        return changed

    def load(self, context: ssl.SSLContext) -> None:
        check_private(self._key_file)
        _load(context, self._cert_file, self._key_file)


def server_context() -> ListenerContext:
    """TLS 1.2 or newer, no client certificate, no resumption tickets: every connection is a fresh handshake."""
    context = ListenerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def device_context(issuing_ca: x509.Certificate) -> ListenerContext:
    """As `server_context`, and a client certificate from `issuing_ca`, and no other CA, is required."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=issuing_ca.public_bytes(serialization.Encoding.PEM).decode())
    return context


def client_certificate_context() -> ListenerContext:
    """As `server_context`, and a client certificate is asked for; its user adds those that are taken.

    They must be self-signed. OpenSSL looks for an issuer by its name first: with a partial chain a self-signed
    certificate is taken for itself all the same, but one from a CA is not where another CA has that CA's name.
    """
    context = server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def tls_extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """The ASGI ``tls`` extension (asgi.readthedocs.io, TLS Extension, version 0.2) of a connection."""
    der = connection.getpeercert(binary_form=True)
    name = None
    if der is not None:
        name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    return {
        "server_cert": getattr(connection.context, "leaf_pem", None),
        "client_cert_chain": [] if der is None else [ssl.DER_cert_to_PEM_cert(der)],
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None,
    }


def server_certificate_sha256(extension: dict[str, Any]) -> bytes | None:
    """SHA-256 of the leaf (DER) that the client was shown, from the ``tls`` extension of its connection."""
    pem = extension["server_cert"]
    return None if pem is None else hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


def client_certificate(scope: Scope) -> bytes | None:
    """The client's certificate (DER) that TLS proved on this connection; None where it gave none."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
    return ssl.PEM_cert_to_DER_cert(chain[0]) if chain else None


def _load(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    try:
        context.load_cert_chain(cert_file, key_file)
        leaf = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except OSError as error:
        reason = error.strerror or getattr(error, "reason", None) or "unreadable"
        raise ConfigurationError(f"The TLS certificate {cert_file} with key {key_file}: {reason}") from None
    if isinstance(context, ListenerContext):
        context.leaf_pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
