"""The client's key, and the DPoP proofs that it signs (RFC 9449, section 4.2)."""

import hashlib
import json
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey

from admittance.client.private_files import read_private, write_private
from admittance.errors import ConfigurationError
from admittance.wire import base64url


class DpopKey:
    """A P-256 key to which the server binds the tokens of this client."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self._key = ECKey.import_key(_pem(private_key))
        self._public = {name: self._key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}

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
        try:
            private_key = serialization.load_pem_private_key(read_private(path), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"{path} holds no private key. Delete it and log in again.") from error
        if not isinstance(private_key, ec.EllipticCurvePrivateKey) or private_key.curve.name != "secp256r1":
            raise ConfigurationError(f"{path} holds no P-256 key. Delete it and log in again.")
        return cls(private_key)

    def save(self, path: Path) -> None:
        """Write the key to a file that only its owner can open. Raises `ConfigurationError`."""
        write_private(path, _pem(self._private_key))

    @property
    def jkt(self) -> str:
        """The RFC 7638 thumbprint by which the server knows this key, base64url."""
        return self._key.thumbprint()

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


def _pem(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
