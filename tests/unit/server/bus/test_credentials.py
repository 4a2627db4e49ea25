"""Who a node is to NATS: with a password, and with a JWT that NATS checks against its operator's."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from admittance.errors import ConfigurationError
from admittance.server.bus.credentials import parse_credentials
from admittance.server.bus.nats import NatsBus, NatsServers
from tests.nats import nats_server

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
SEED = 18 << 3


def encoded(body: bytes) -> str:
    """An nkey: base32 of its bytes and their CRC-16."""
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


@dataclass
class Nkey:
    """A key of NATS's own kind. `role` is the first byte of its public form."""

    role: int
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return encoded(bytes([self.role]) + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def seed(self) -> str:
        raw = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return encoded(bytes([SEED | self.role >> 5, (self.role & 31) << 3]) + raw)

    def jwt(self, subject: "Nkey", name: str, nats: dict[str, object]) -> str:
        """A JWT about `subject`, signed by this key."""
        claims = {"iat": 1_700_000_000, "iss": self.public, "name": name, "sub": subject.public, "nats": nats}
        claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
        signed = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return f"{signed}.{base64.urlsafe_b64encode(self.key.sign(signed.encode())).decode().rstrip('=')}"


def credentials_file(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


async def test_nats_lets_in_the_user_of_a_credentials_file_and_nobody_with_another_key() -> None:
    operator, account, user = Nkey(OPERATOR), Nkey(ACCOUNT), Nkey(USER)
    anything = {"subs": -1, "data": -1, "payload": -1}
    limits = {**anything, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    trusted = operator.jwt(operator, "operator", {"type": "operator", "version": 2})
    known = operator.jwt(account, "nodes", {"type": "account", "version": 2, "limits": limits})
    jwt = account.jwt(user, "node", {"type": "user", "version": 2, "pub": {}, "sub": {}, **anything})
    settings = f"operator: {trusted}\nresolver: MEMORY\nresolver_preload: {{ {account.public}: {known} }}\n"
    with nats_server(settings=settings) as server:
        bus = NatsBus(NatsServers(urls=[server.url], credentials=parse_credentials(credentials_file(jwt, user.seed))))
        await bus.start()
        assert bus.connected
        await bus.close()
        for credentials in (parse_credentials(credentials_file(jwt, Nkey(USER).seed)), None):
            refused = NatsBus(NatsServers(urls=[server.url], credentials=credentials))
            with pytest.raises(Exception, match=r"(?i)authorization"):
                await refused._connection()


def test_user_and_password_are_read_and_not_shown() -> None:
    credentials = parse_credentials("node:s3cret:with:colons\n")
    assert (credentials.user, credentials.password) == ("node", "s3cret:with:colons")
    assert "s3cret" not in repr(credentials)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "node",
        ":password",
        "node:",
        "node:a\nother:b",
        credentials_file("a.b.c", "SUAAAA"),
        credentials_file("a.b.c", Nkey(USER).public),
        credentials_file("a.b.c", "S" + Nkey(USER).seed[1:-1] + "!"),
        credentials_file("a.b.c", "").replace("USER NKEY", "OTHER"),
    ],
)
def test_other_content_is_refused_without_being_shown(content: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_credentials(content)
    assert "a.b.c" not in str(refused.value)


def test_a_seed_with_a_changed_character_is_refused() -> None:
    seed = Nkey(USER).seed
    changed = seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]
    with pytest.raises(ConfigurationError, match="damaged"):
        parse_credentials(credentials_file("a.b.c", changed))
