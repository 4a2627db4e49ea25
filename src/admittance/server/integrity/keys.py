"""The service's own keys, in a folder of its own: none of them is the server's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admittance.server.keys import jwt
from admittance.server.keys.file import create_secret, read_secret
from admittance.server.keys.port import TokenKey, TokenKeyRing
from admittance.server.keys.token_keys import TokenKeys
from admittance.server.keystore import COMPLETE_FILE, Authority, KeyFiles, check_directory
from admittance.wire.integrity import ATTESTATION_TYPE


@dataclass(frozen=True, repr=False)
class ServiceKeys:
    """What `open_keys` read.

    `ca` certifies the listener where no certificate is configured, `signing` signs attestations, one key after the
    other; the rest are HMAC keys of 32 bytes.
    """

    ca: Authority
    signing: TokenKeys
    nonce_key: bytes
    source_key: bytes
    audit_key: bytes


def open_keys(directory: Path, *, now: float) -> ServiceKeys:
    """Read every key, making those that are missing if this is the first start.

    Raises `ConfigurationError` for a file that is missing, unreadable, or open to others.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(directory)
    files = KeyFiles(directory, now, not (directory / COMPLETE_FILE).exists())
    keys = ServiceKeys(
        ca=files.authority("ca", "Admittance integrity CA"),
        signing=files.token_keys(),
        nonce_key=read_secret(files.random("nonce.key")),
        source_key=read_secret(files.random("source.key")),
        audit_key=read_secret(files.random("audit.key")),
    )
    if files.create:
        create_secret(directory / COMPLETE_FILE, b"All keys are made; a missing one must be restored.\n")
    return keys


def sign(key: TokenKey, claims: dict[str, Any]) -> str:
    """An attestation: a JWT of the type ``oauth-client-attestation+jwt``, signed with ES256."""
    return jwt.signed(ATTESTATION_TYPE, claims, key)


def key_set(keys: TokenKeyRing, now: float) -> dict[str, list[dict[str, Any]]]:
    """The JWK set (RFC 7517) by which attestations are checked at Unix time `now`."""
    return {
        "keys": [
            {**key.key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": "ES256"}
            for key in keys.published(now)
        ]
    }
