"""A server's device services on a test's database, with accounts and devices to try them on."""

import dataclasses
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import insert, select

from admittance.maker.authority import Maker, init_maker
from admittance.protocol.enrolment.building import build_request
from admittance.protocol.enrolment.login import build_login
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.protocol.provisioning.evidence import sign_evidence
from admittance.protocol.sealing import (
    ClassicSealKey,
    Expectation,
    HybridSealKey,
    Opened,
    SealKey,
    SymmetricSealKey,
    open_sealed,
    spki_sha256,
)
from admittance.protocol.signing import Signer, SoftwareSigner
from admittance.server.access import assembly as access_services
from admittance.server.accounts import service as account_service
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.store import accounts
from admittance.server.activation.model import Activation, ActivationRequest, Caller, ServerNetwork
from admittance.server.audit.journal import Journal
from admittance.server.audit.service import AuditService
from admittance.server.audit.store import AuditLog, audit
from admittance.server.config import Config, MakerSection, ModelSection, ServerSection, SmsSection
from admittance.server.database import Database
from admittance.server.devices.manifest_import import ImportSummary
from admittance.server.enrolment import assembly
from admittance.server.enrolment.model import Issued
from admittance.server.foundation import Foundation
from admittance.server.keys.envelope import Envelope
from admittance.server.keystore import open_keystore
from admittance.server.mail.store import outbox
from admittance.wire import base64url
from admittance.wire.device_id import device_id, registry_key
from admittance.wire.enrolment import Factor
from admittance.wire.evidence import Claims, Evidence, PublicKeys, SealAlgorithm
from admittance.wire.manifest import DeviceSecrets, ManifestEntry, Presence, encode_line, encode_secrets, secrets_info
from tests.logins import authenticated

START = 1_800_000_000.0
ORIGIN = "https://admit.example"
MODELS = {
    "lamp": ModelSection(display_name="Lamp", presence="display", makers=("acme",)),
    "lock": ModelSection(display_name="Lock", presence="button", makers=("acme",)),
    "safe": ModelSection(
        display_name="Safe",
        presence="display",
        makers=("acme",),
        second_factor=("code", "totp", "sms", "approval"),
    ),
    "gate": ModelSection(display_name="Gate", presence="display", makers=("acme",), second_factor=("approval",)),
    "panel": ModelSection(display_name="Panel", presence="display", makers=("acme",), keyboard=True),
    "monitor": ModelSection(display_name="Monitor", presence="display", makers=("acme",), offline=True),
    "vault": ModelSection(display_name="Vault", presence="display", makers=("acme",), minimum_assurance="certified"),
}
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SetClock:
    """A clock that a test moves."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeDevice:
    """What a device holds, and what it signs."""

    identity: Signer
    model: str
    presence: Presence
    secrets: DeviceSecrets
    seal_key: SealKey
    certificate: bytes | None = None
    epoch: int = 0
    last_sequence: int = 0
    resets: int = 0
    device_nonce: bytes = field(default_factory=lambda: os.urandom(16))
    channel: bytes = b""
    access: bytes = b""

    @property
    def device_id(self) -> str:
        return device_id(self.identity.spki)

    @property
    def registry_key(self) -> bytes:
        return registry_key(self.identity.spki)

    def evidence(self, challenge: bytes, binding: bytes, /, **changes: object) -> bytes:
        evidence = Evidence(
            server_origin=ORIGIN,
            challenge=challenge,
            device_id=self.device_id,
            binding=binding,
            presence=self.presence,
            code_age_s=5,
            device_nonce=self.device_nonce,
            last_sequence=self.last_sequence,
            epoch=self.epoch,
            public_keys=PublicKeys(self.seal_key.algorithm, self.seal_key.public, self.channel, self.access),
            claims=Claims(self.model, "1.0", self.resets),
        )
        values = {name: getattr(evidence, name) for name in evidence.__struct_fields__} | changes
        chain = () if self.certificate is None else (self.certificate,)
        return sign_evidence(Evidence(**values), self.identity, chain)

    def open(self, sealed: bytes, root_spki_sha256: bytes) -> Opened:
        """Open a sealed configuration and take up its epoch and sequence."""
        expectation = Expectation(
            device_id=self.device_id,
            purposes=frozenset({"activate", "reprovision"}),
            epoch=self.epoch,
            last_sequence=self.last_sequence,
            device_nonce=self.device_nonce,
            elapsed_s=1.0,
        )
        opened = open_sealed(
            sealed, root_spki_sha256=root_spki_sha256, seal_key=self.seal_key, expectation=expectation
        )
        self.epoch, self.last_sequence = opened.header.epoch, opened.header.sequence
        return opened

    def enrolment(
        self,
        key: ec.EllipticCurvePrivateKey,
        nonce: bytes,
        ticket: bytes = b"",
        factor: Factor | None = None,
    ) -> bytes:
        return build_request(
            self.identity,
            key,
            nonce=nonce,
            device_id=self.device_id,
            epoch=self.epoch,
            ticket=ticket,
            factor=factor,
        )

    def login(self, nonce: bytes, email: str, password: str) -> bytes:
        """A login at the device's keyboard."""
        return build_login(
            self.identity,
            nonce=nonce,
            device_id=self.device_id,
            epoch=self.epoch,
            email=email,
            password=password,
        )

    def reset_report(self, nonce: bytes) -> bytes:
        return build_reset_report(
            self.identity, nonce=nonce, device_id=self.device_id, epoch=self.epoch, resets=self.resets
        )


class World:
    """The services of one server on `database`."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        now: float = START,
        sms: SmsSection | None = None,
        **settings: object,
    ) -> None:
        """`settings` replace those of the configuration."""
        self.clock = SetClock(now)
        self.keystore = open_keystore(folder / "keys", now=now)
        self.database = database
        self.maker = _maker(
            folder / "maker", self.keystore.configuration_root, self.keystore.manifest_public_key, now
        )
        ca_file = folder / "maker-ca.pem"
        ca_file.write_bytes(self.maker.certificate.public_bytes(Encoding.PEM))
        self.foundation = Foundation(
            config=msgspec.structs.replace(
                Config(
                    server=ServerSection(origin=ORIGIN),
                    models=MODELS,
                    makers={"acme": MakerSection(ca_file=str(ca_file))},
                    sms=sms or SmsSection(),
                    folder=folder,
                ),
                **settings,
            ),
            clock=self.clock,
            keystore=self.keystore,
            database=database,
            envelope=Envelope(self.keystore.key_encryption),
            audit_log=AuditLog(self.keystore.audit_key),
            audit_service=AuditService(
                database=database,
                clock=self.clock,
                key=self.keystore.audit_key,
                journal=Journal(folder / "journal.jsonl", self.keystore.audit_key),
            ),
        )
        ground = access_services.ground_of(self.foundation)
        self.logins = access_services.login_services(ground)
        self.accounts = account_service.build(
            database=database,
            clock=self.clock,
            audit=self.foundation.audit_log,
            envelope=self.foundation.envelope,
            origin=ORIGIN,
            code_key=self.keystore.code_key,
            dpop_nonce_key=self.keystore.dpop_nonce_key,
            default_quota=self.foundation.config.policy.quota,
            sessions=self.logins.sessions,
            hashes=PasswordHashes(memory_kib=8, passes=1),
        )
        self.access = access_services.build(ground, self.accounts, self.logins)
        self.services = assembly.build(self.foundation, self.accounts.passwords)
        self.importer = assembly.manifest_import(self.foundation)
        root = x509.load_der_x509_certificate(self.keystore.configuration_root)
        self.root_spki_sha256 = spki_sha256(root)

    async def account(
        self, name: str = "ann", *, quota: int | None = None, operator: bool = False
    ) -> AuthenticatedAccount:
        async with self.database.transaction() as connection:
            await connection.execute(
                insert(accounts).values(
                    account_id=name,
                    email=f"{name}@example.org",
                    display_name=name.title(),
                    operator=operator,
                    quota=quota,
                    password_hash="",
                    created_at=int(self.clock()),
                )
            )
        return authenticated(name, operator=operator, jkt=f"jkt-{name}")

    def device(self, model: str = "lamp", seal: SealAlgorithm = "classic", *, certified: bool = False) -> FakeDevice:
        """A device as its maker made it; the server does not know it yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        identity = SoftwareSigner(key)
        presence = MODELS[model].presence
        seal_key: SealKey
        if seal == "symmetric":
            seal_key = SymmetricSealKey(os.urandom(32))
        else:
            seal_key = HybridSealKey.generate() if seal == "hybrid" else ClassicSealKey.generate()
        certificate = None
        if certified:
            certificate = self.maker.certify(
                key.public_key(),
                device_id=device_id(identity.spki),
                model=model,
                now=datetime.fromtimestamp(self.clock(), UTC),
            )
        secrets = DeviceSecrets(
            access_point_ssid="PROV_" + device_id(identity.spki)[2:8],
            access_point_passphrase=os.urandom(8).hex(),
            presence_key=os.urandom(32) if presence == "button" else None,
            seal_key=seal_key.key if isinstance(seal_key, SymmetricSealKey) else None,
        )
        return FakeDevice(identity, model, presence, secrets, seal_key, certificate)

    def manifest_line(self, device: FakeDevice, **changes: object) -> bytes:
        sealed = _SUITE.encrypt(
            encode_secrets(device.secrets), self.keystore.manifest_key.public_key(), secrets_info(device.device_id)
        )
        entry = ManifestEntry(
            device.device_id, device.model, device.presence, device.identity.spki, device.certificate, sealed
        )
        return encode_line(dataclasses.replace(entry, **changes))

    async def take(self, *devices: FakeDevice) -> ImportSummary:
        """Import devices as their manifest lists them."""
        return await self.importer.run([self.manifest_line(device) for device in devices])

    async def request(
        self,
        account: AuthenticatedAccount,
        device: FakeDevice,
        network: ServerNetwork | None = None,
        **changes: object,
    ) -> ActivationRequest:
        challenge = await self.services.challenges.issue(caller(account), None)
        binding = os.urandom(32)
        evidence = device.evidence(challenge.challenge, binding, **changes)
        name = "" if network is None else "home"
        return ActivationRequest(challenge.challenge, evidence, binding, b"t" * 16, name, network)

    async def activate(
        self, account: AuthenticatedAccount, device: FakeDevice, network: ServerNetwork | None = None
    ) -> Activation:
        request = await self.request(account, device, network)
        return await self.services.activations.activate(caller(account), request)

    async def enrol(
        self,
        device: FakeDevice,
        ticket: bytes = b"",
        key: ec.EllipticCurvePrivateKey | None = None,
        factor: Factor | None = None,
    ) -> Issued:
        nonce, _ = self.services.enrolments.nonce(device.device_id)
        request = device.enrolment(key or ec.generate_private_key(ec.SECP256R1()), nonce, ticket, factor)
        return await self.services.enrolments.enrol(request, "192.0.2.7")

    async def onboard(self, account: AuthenticatedAccount, device: FakeDevice) -> Issued:
        """From activation to certificate."""
        activation = await self.activate(account, device)
        opened = device.open(activation.sealed, self.root_spki_sha256)
        return await self.enrol(device, opened.configuration.ticket)

    async def audited(self) -> list[tuple[str, str]]:
        """Event and details of each row of the audit log."""
        async with self.database.read() as connection:
            rows = await connection.execute(select(audit.c.event, audit.c.details).order_by(audit.c.number))
            return [(row.event, row.details) for row in rows]

    async def mails(self) -> list[tuple[str, str, str]]:
        """Recipient, subject and text of each mail in the outbox."""
        async with self.database.read() as connection:
            rows = await connection.execute(select(outbox.c.recipient, outbox.c.subject, outbox.c.text))
            return [(row.recipient, row.subject, row.text) for row in rows]


def caller(account: AuthenticatedAccount) -> Caller:
    return Caller(account.account_id, account.jkt)


def _maker(folder: Path, root: bytes, manifest_key: bytes, now: float) -> Maker:
    bundle = (
        f'{{"origin":"{ORIGIN}","configuration_root":"{base64url.encode(root)}",'
        f'"manifest_key":"{base64url.encode(manifest_key)}"}}'
    )
    return init_maker(folder, "ACME", bundle.encode(), datetime.fromtimestamp(now, UTC))
