"""Clients that prove themselves by a TLS certificate, and tokens that are bound to it (RFC 8705, sections 2.2 and 3).

The operator registers the certificate itself. TLS proves that the client holds its key, and it must be that of the
client which the request names.
"""

import hmac
import ssl
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import select
from starlette.requests import Request

from admittance.errors import InvalidClient, Malformed
from admittance.server.access.form import Parameters
from admittance.server.access.model import DEVICE_CODE, EXCHANGE, SELF_SIGNED, Claim, Client, certificate_thumbprint
from admittance.server.access.tables import oauth_clients
from admittance.server.accounts.dpop import VerifiedProof
from admittance.server.database import Database
from admittance.server.tls import client_certificate, client_certificate_context

REFRESH_EVERY_S = 1.0
MAX_CERTIFICATE_BYTES = 8192
_MIN_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_OF_OTHER_LISTENERS = frozenset({DEVICE_CODE, EXCHANGE})
"""The one begins where no certificate is asked for, the other needs a token that is bound to a key."""

_FAILED = "The client is unknown, or its authentication does not hold."
_CERTIFICATES = select(oauth_clients.c.certificate).where(oauth_clients.c.certificate.is_not(None))


class SelfSignedCertificate:
    """``self_signed_tls_client_auth``: the connection's certificate is the one that the client registered."""

    def claim(self, request: Request, parameters: Parameters) -> Claim | None:
        client_id = parameters.get("client_id")
        return None if client_id is None or client_certificate(request.scope) is None else Claim(client_id)

    async def prove(
        self, request: Request, _claim: Claim, client: Client | None, _proof: VerifiedProof | None
    ) -> int | None:
        shown = client_certificate(request.scope)
        registered = None if client is None else client.x5t_s256
        if shown is None or registered is None or not hmac.compare_digest(certificate_thumbprint(shown), registered):
            raise InvalidClient(_FAILED)
        return None


class MutualTls:
    """The listener at `url` that asks for client certificates; `refresh` keeps its trust as the clients are.

    OpenSSL ends every handshake with a certificate that it has no reason to trust, so `context` trusts each
    registered one for itself. That of a client which was removed stays in `context` until the server stops: there is
    no client left that it could prove.
    """

    def __init__(self, *, database: Database, url: str) -> None:
        self._database = database
        self._url = url
        self._trusted: set[bytes] = set()
        self.context = client_certificate_context()

    async def refresh(self) -> None:
        """Trust the certificates of the clients that came since the last call."""
        async with self._database.read() as connection:
            registered = set((await connection.execute(_CERTIFICATES)).scalars())
        for certificate in registered - self._trusted:
            self.context.load_verify_locations(cadata=certificate)
            self._trusted.add(certificate)

    def metadata(self, endpoints: dict[str, str]) -> dict[str, Any]:
        """What tells clients of it (section 5): `endpoints` are the names and paths of what it serves."""
        return {
            "tls_client_certificate_bound_access_tokens": True,
            "mtls_endpoint_aliases": {name: self._url + path for name, path in endpoints.items()},
        }


def check_registered(client: Client) -> None:
    """Whether a client has a certificate where its authentication needs one, and a good one. Raises `Malformed`."""
    if (client.authentication == SELF_SIGNED) != (client.certificate is not None):
        raise Malformed(f"{SELF_SIGNED} needs the client's certificate, and no other authentication takes one.")
    if client.certificate is None:
        return
    if client.grants & _OF_OTHER_LISTENERS:
        raise Malformed(f"A client with {SELF_SIGNED} has neither the device grant nor token exchange.")
    _check_certificate(client.certificate)


def _check_certificate(der: bytes) -> None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        key, extensions = certificate.public_key(), certificate.extensions
        certificate.verify_directly_issued_by(certificate)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=der)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension, ssl.SSLError):
        raise Malformed("The client's certificate is no X.509 certificate that is signed by itself.") from None
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise Malformed(f"A client's certificate has at most {MAX_CERTIFICATE_BYTES} bytes.")
    is_curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    is_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
    if not (is_curve or is_rsa or isinstance(key, ed25519.Ed25519PublicKey)):
        raise Malformed(
            f"A client's certificate has a key on P-256, P-384 or Ed25519, or RSA of {_MIN_RSA_BITS} bits."
        )
    for extension in extensions:
        usage = extension.value
        if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
            raise Malformed("The key of a client's certificate must be for signatures, or its use be left open.")
        if isinstance(usage, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise Malformed("A client's certificate must be for TLS clients, or its use be left open.")
