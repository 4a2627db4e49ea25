"""Accounts, apps and enrolled devices, put into a server's database as onboarding leaves them."""

import hashlib
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from sqlalchemy import insert

from admittance.client.dpop import DpopKey
from admittance.protocol.signing import spki_of
from admittance.server.access.assembly import ground_of, login_services
from admittance.server.access.clients import FIRST_PARTY
from admittance.server.access.sessions import new_session_id
from admittance.server.accounts.store import accounts
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.store import devices
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.server.enrolment.store import certificates
from admittance.server.foundation import Foundation
from admittance.wire.device_id import device_id, registry_key

DAY_S = 86_400
MODEL = "lamp"


class Device(msgspec.Struct, frozen=True):
    """An enrolled device: its operational key (PKCS #8, DER), its channel key alike, and its certificate (DER)."""

    device_id: str
    epoch: int
    key: bytes
    channel_key: bytes
    certificate: bytes
    account: int


class App(msgspec.Struct, frozen=True):
    """An account's app: its DPoP key (PKCS #8, DER), its channel key alike, and its token."""

    key: bytes
    channel_key: bytes
    token: str


class Population(msgspec.Struct, frozen=True):
    """Device `i` is that of app ``devices[i].account``. `nonce_key` is the server's own, for the proofs' nonces."""

    origin: str
    nonce_key: bytes
    apps: list[App]
    devices: list[Device]

    def save(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> "Population":
        return msgspec.json.decode(path.read_bytes(), type=cls)


async def populate(foundation: Foundation, *, device_count: int, account_count: int) -> Population:
    """Add accounts with an app each, and devices that belong to them in turn. The schema must be there."""
    now = int(time.time())
    apps = []
    logins = login_services(ground_of(foundation))
    async with foundation.database.transaction() as connection:
        for number in range(account_count):
            key, account = ec.generate_private_key(ec.SECP256R1()), _account(number, now)
            await connection.execute(insert(accounts), account)
            session = await logins.sessions.begin(
                connection,
                session_id=new_session_id(),
                account_id=str(account["account_id"]),
                client=FIRST_PARTY,
                jkt=DpopKey(key).jkt,
                scope=FIRST_PARTY.scope,
                audience=logins.tokens.issuer,
                by="load",
                now=now,
            )
            token = logins.sessions.answer(session, refreshable=False).access_token
            apps.append(App(_der(key), _der(ec.generate_private_key(ec.SECP256R1())), token))
        issuer = CertificateIssuer(foundation.keystore.issuing_ca.key, foundation.keystore.issuing_ca.certificate)
        made = [_device(issuer, number % account_count, now) for number in range(device_count)]
        await connection.execute(insert(devices), [record for _, record, _ in made])
        await connection.execute(insert(certificates), [certificate for _, _, certificate in made])
    origin, nonce_key = foundation.config.server.origin, foundation.keystore.dpop_nonce_key
    return Population(origin, nonce_key, apps, [device for device, _, _ in made])


def _account(number: int, now: int) -> dict[str, object]:
    """A row of `accounts`."""
    name = f"load{number}"
    return {
        "account_id": name,
        "email": f"{name}@example.org",
        "display_name": name,
        "operator": False,
        "quota": None,
        "password_hash": "",
        "created_at": now,
    }


def _device(issuer: CertificateIssuer, account: int, now: int) -> tuple[Device, dict[str, object], dict[str, object]]:
    """A device, and its rows of `devices` and `certificates`."""
    identity, key, channel_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    identity_spki, spki = spki_of(identity.public_key()), spki_of(key.public_key())
    name, owner = device_id(identity_spki), f"load{account}"
    issued = issuer.issue(name, spki, DAY_S, now)
    record = DeviceRecord(
        registry_key=registry_key(identity_spki),
        device_id=name,
        identity_spki=identity_spki,
        identity_certificate=None,
        model=MODEL,
        presence="display",
        assurance="listed",
        secrets=None,
        state="active",
        account_id=owner,
        epoch=1,
        last_sequence=1,
        resets=0,
        needs_ticket=False,
        pending_until=None,
        activated_at=now,
        last_seen_at=now,
        channel_spki=spki_of(channel_key.public_key()),
    )
    certificate = {
        "serial": issued.serial,
        "fingerprint": issued.fingerprint,
        "registry_key": record.registry_key,
        "account_id": owner,
        "epoch": 1,
        "spki_sha256": hashlib.sha256(spki).digest(),
        "ticket_mac": None,
        "certificate": issued.der,
        "request": b"",
        "decision": "load",
        "issued_at": now,
        "not_after": issued.not_after,
    }
    row = {column.name: getattr(record, column.name) for column in devices.c}
    return Device(name, 1, _der(key), _der(channel_key), issued.der, account), row, certificate


def private_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    """A key of a `Device` or an `App`."""
    key = load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
