"""The service's own keys, one file each; those that sign attestations take turns.

A new signing key is published at once and signs `LEAD_S` later, so that whoever keeps the published keys for a while
has it by then. The one before stays published until the last attestation that it signed has ended.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey

from admittance.errors import ConfigurationError, Conflict
from admittance.server.integrity.config import MAX_ATTESTATION_TTL_S
from admittance.server.keys.file import create_secret, read_secret
from admittance.server.keystore import COMPLETE_FILE, Authority, KeyFiles, check_directory
from admittance.wire.integrity import ATTESTATION_TYPE

LEAD_S = 3600
KEPT_S = MAX_ATTESTATION_TTL_S + 600
_NAME = re.compile(r"signing-(\d{1,12})\.key")


@dataclass(frozen=True, repr=False)
class ServiceKeys:
    """What `open_keys` read. `ca` certifies the listener where no certificate is configured; others are HMAC keys."""

    directory: Path
    ca: Authority
    nonce_key: bytes
    source_key: bytes
    audit_key: bytes


class SigningKey:
    """A P-256 key that signs attestations from `signs_from` on (Unix time)."""

    def __init__(self, made_at: int, key: ec.EllipticCurvePrivateKey) -> None:
        self.made_at = made_at
        self.signs_from = made_at + LEAD_S
        self._key = ECKey.import_key(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.kid = self._key.thumbprint()

    @property
    def public_jwk(self) -> dict[str, Any]:
        members = self._key.as_dict(private=False)
        public = {name: members[name] for name in ("kty", "crv", "x", "y")}
        return {**public, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def sign(self, claims: dict[str, Any]) -> str:
        header = {"typ": ATTESTATION_TYPE, "alg": "ES256", "kid": self.kid}
        return jws.serialize_compact(header, json.dumps(claims), self._key, algorithms=["ES256"])


class KeyRing:
    """The signing keys in a folder. `reload` reads what another process changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keys: tuple[SigningKey, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read the folder. Raises `ConfigurationError` when there is no key, or one that can't be used."""
        made = sorted(int(match[1]) for path in self._directory.iterdir() if (match := _NAME.fullmatch(path.name)))
        known = {key.made_at: key for key in self._keys}
        files = KeyFiles(self._directory, 0, create=False)
        keys = tuple(known.get(at) or SigningKey(at, files.ec(_name(at))) for at in made)
        if not keys:
            raise ConfigurationError(f"{self._directory} holds no signing key; restore it from the backup")
        self._keys = keys

    def current(self, now: float) -> SigningKey:
        """The key that signs at Unix time `now`."""
        return next((key for key in reversed(self._keys) if key.signs_from <= now), self._keys[0])

    def published(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """The JWK set (RFC 7517) of the keys that sign, will sign, or signed what has not ended."""
        return {"keys": [key.public_jwk for key in self._alive(now)]}

    def rotate(self, now: float) -> SigningKey:
        """Make the next key, and delete those that are no longer published.

        Raises:
            Conflict: the newest key does not sign yet.
        """
        if len(self._keys) > 1 and self._keys[-1].signs_from > now:
            wait_s = int(self._keys[-1].signs_from - now)
            raise Conflict(f"The newest key signs only in {wait_s} s; apps would not know one more. Wait for that.")
        KeyFiles(self._directory, now, create=True).ec(_name(max(int(now), self._keys[-1].made_at + 1)))
        self.reload()
        alive = self._alive(now)
        for key in self._keys:
            if key not in alive:
                (self._directory / _name(key.made_at)).unlink(missing_ok=True)
        self.reload()
        return self._keys[-1]

    def _alive(self, now: float) -> list[SigningKey]:
        successors = (*self._keys[1:], None)
        pairs = zip(self._keys, successors, strict=True)
        return [key for key, after in pairs if after is None or now < after.signs_from + KEPT_S]


def open_keys(directory: Path, *, now: float, create: bool) -> ServiceKeys:
    """Read every key, making those that are missing if this is the first start and `create` is true.

    Raises `ConfigurationError` for a file that is missing, unreadable, or open to others.
    """
    if create:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(directory)
    files = KeyFiles(directory, now, create and not (directory / COMPLETE_FILE).exists())
    keys = ServiceKeys(
        directory=directory,
        ca=files.authority("ca", "Admittance integrity CA"),
        nonce_key=read_secret(files.random("nonce.key")),
        source_key=read_secret(files.random("source.key")),
        audit_key=read_secret(files.random("audit.key")),
    )
    if files.create:
        files.ec(_name(int(now)))
        create_secret(directory / COMPLETE_FILE, b"All keys are made; a missing one must be restored.\n")
    return keys


def _name(made_at: int) -> str:
    return f"signing-{made_at}.key"
