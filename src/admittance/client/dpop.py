"""The client's key, and the DPoP proofs that it signs (RFC 9449, section 4.2)."""

import hashlib
import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey

from admittance.client.key_files import load_p256, pem_of
from admittance.client.private_files import write_private
from admittance.wire import base64url


class DpopKey:
    """A P-256 key to which the server binds the tokens of this client."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self._key = ECKey.import_key(pem_of(private_key))
        members = self._key.as_dict(private=False)
        self._public = {name: str(members[name]) for name in ("kty", "crv", "x", "y")}

    @classmethod
    def generate(cls) -> "DpopKey":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: Path) -> "DpopKey":
        """Read a key file.

        Raises:
            NotFound: there is none.
            ConfigurationError: others can open the file, or it holds no P-256 key.
        """
        return cls(load_p256(path, "Delete it and log in again."))

    def save(self, path: Path) -> None:
        """Write the key to a file that only its owner can open. Raises `ConfigurationError`."""
        write_private(path, pem_of(self._private_key))

    @property
    def jkt(self) -> str:
        """The RFC 7638 thumbprint by which the server knows this key, base64url."""
        return self._key.thumbprint()

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key as a JWK, with the members of its thumbprint alone."""
        return dict(self._public)

    def proof(self, *, method: str, uri: str, now: float, nonce: str | None, access_token: str | None) -> str:
        """A proof for one request.

        Args:
            uri: the request's URI without query and fragment.
            now: Unix time in seconds.
            nonce: the server's latest, if it gave one.
            access_token: the token that the request carries, if any.
        """
        claims: dict[str, str | int] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": uri,
            "iat": int(now),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if access_token is not None:
            claims["ath"] = base64url.encode(hashlib.sha256(access_token.encode()).digest())
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._public}
        return jws.serialize_compact(header, json.dumps(claims), self._key, algorithms=["ES256"])
