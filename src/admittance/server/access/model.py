"""Values of the authorization server: clients, sessions, and what a token endpoint gives."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec import Struct

from admittance.wire import base64url

Authentication = Literal[
    "none",
    "client_secret_basic",
    "private_key_jwt",
    "self_signed_tls_client_auth",
    "attest_jwt_client_auth_dpop",
]
"""How a client proves itself (RFC 7591, section 2): public clients do not."""

SELF_SIGNED: Final = "self_signed_tls_client_auth"
"""RFC 8705, section 2.2."""

AUTHORIZATION_CODE = "authorization_code"
REFRESH = "refresh_token"
CLIENT_CREDENTIALS = "client_credentials"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANTS = (AUTHORIZATION_CODE, REFRESH, CLIENT_CREDENTIALS, DEVICE_CODE, EXCHANGE)


@dataclass(frozen=True)
class Client:
    """A program that the operator let in. `keys` are the public keys (a JWK set) of `private_key_jwt`,
    `certificate` (DER) is that of `self_signed_tls_client_auth`.

    A first-party client asks for the password itself, without a browser.
    """

    client_id: str
    name: str
    authentication: Authentication
    grants: frozenset[str]
    redirect_uris: tuple[str, ...]
    scope: frozenset[str]
    audiences: tuple[str, ...] = ()
    keys: dict[str, Any] | None = None
    certificate: bytes | None = None
    secret_mac: bytes | None = field(default=None, repr=False)
    first_party: bool = False

    @property
    def is_public(self) -> bool:
        """Whether it holds no secret of its own, so that its tokens must be bound to a key."""
        return self.authentication in ("none", "attest_jwt_client_auth_dpop")

    @property
    def x5t_s256(self) -> str | None:
        """The thumbprint of the certificate that it proves itself by, to which its access tokens are bound."""
        return None if self.certificate is None else certificate_thumbprint(self.certificate)

    @property
    def is_attested(self) -> bool:
        return self.authentication == "attest_jwt_client_auth_dpop"


class Claim(Struct, frozen=True):
    """Who a request says that its client is, and the secret or assertion that it shows for it."""

    client_id: str
    shown: str = ""

    def __repr__(self) -> str:
        return f"Claim(client_id={self.client_id!r})"


class ProvenClient(Struct, frozen=True):
    """A client that has proven itself for one request; `attested_until` is the Unix time its attestation ends."""

    client: Client
    attested_until: int | None = None


@dataclass(frozen=True)
class Session:
    """A login of an account by a client. `jkt` binds its tokens, `audience` is where they are good."""

    session_id: str
    account_id: str
    client_id: str
    jkt: str | None
    scope: frozenset[str]
    audience: str
    rotation: int
    expires_at: int


@dataclass(frozen=True)
class AccessClaims:
    """What an access token says (RFC 9068, section 2.2). `session_id` is None where no account logged in."""

    token_id: str
    subject: str
    client_id: str
    audience: str
    scope: frozenset[str]
    issued_at: int
    expires_at: int
    session_id: str | None
    jkt: str | None
    x5t_s256: str | None
    attested_until: int | None


class TokenAnswer(Struct, frozen=True):
    """A successful answer of the token endpoint (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["DPoP", "Bearer"]
    expires_in_s: int
    scope: frozenset[str]
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"TokenAnswer(token_type={self.token_type!r})"


def certificate_thumbprint(certificate: bytes) -> str:
    """`x5t#S256` of a certificate (DER): base64url of its SHA-256 (RFC 8705, section 3.1)."""
    return base64url.encode(hashlib.sha256(certificate).digest())


def confirmation(jkt: str | None, x5t_s256: str | None) -> dict[str, str]:
    """`cnf`: what a token is bound to (RFC 9449, section 6.1; RFC 8705, section 3.1); empty for a bearer's."""
    bound = {"jkt": jkt, "x5t#S256": x5t_s256}
    return {name: value for name, value in bound.items() if value is not None}
