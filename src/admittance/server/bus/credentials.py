"""Who a node is to NATS: a user with a password, or a NATS credentials file (a JWT and the seed of its key).

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from admittance.errors import ConfigurationError

_SECTIONS = re.compile(r"-+BEGIN ([A-Z ]+)-+\s+(\S+)\s+-+END [A-Z ]+-+")
_JWT, _SEED = "NATS USER JWT", "USER NKEY SEED"
_SEED_BYTES = 32
_SEED_PREFIX = 18 << 3


@dataclass(frozen=True, repr=False)
class BusCredentials:
    """Either `user` and `password`, or `jwt` and `key`."""

    user: str = ""
    password: str = ""
    jwt: bytes = b""
    key: Ed25519PrivateKey | None = None

    def options(self) -> dict[str, Any]:
        """What `nats.aio.client.Client.connect` takes."""
        key = self.key
        if key is None:
            return {"user": self.user, "password": self.password}
        return {
            "user_jwt_cb": lambda: self.jwt,
            "signature_cb": lambda nonce: base64.b64encode(key.sign(nonce.encode())),
        }


def parse_credentials(content: str) -> BusCredentials:
    """Read ``user:password``, or the content of a NATS credentials file. Raises `ConfigurationError`."""
    sections = dict(_SECTIONS.findall(content))
    if _JWT in sections and _SEED in sections:
        return BusCredentials(jwt=sections[_JWT].encode(), key=_key_of(sections[_SEED]))
    user, separator, password = content.strip().partition(":")
    if sections or not separator or not user or not password or "\n" in password:
        raise ConfigurationError("[bus] credentials_file holds neither user:password nor NATS credentials")
    return BusCredentials(user=user, password=password)


def _key_of(seed: str) -> Ed25519PrivateKey:
    """The key of an encoded seed: two bytes of prefix, 32 of seed, and their CRC-16."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raw = b""
    body, check = raw[:-2], raw[-2:]
    is_seed = len(body) == _SEED_BYTES + 2 and body[0] & 0xF8 == _SEED_PREFIX
    if not is_seed or binascii.crc_hqx(body, 0) != int.from_bytes(check, "little"):
        raise ConfigurationError("[bus] credentials_file holds a seed that is damaged")
    return Ed25519PrivateKey.from_private_bytes(body[2:])
