"""A server's side of a transaction, as small as a test of the device needs it."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admittance.protocol.provisioning.network_secret import Network, encrypt_network
from admittance.protocol.sealing import recipient, seal, spki_sha256, thumbprint
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.evidence import Evidence
from admittance.wire.sealed import Configuration, Header, Purpose

NOT_BEFORE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NOT_AFTER = datetime.datetime(2046, 1, 1, tzinfo=datetime.UTC)


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def der(value: x509.Certificate) -> bytes:
    return value.public_bytes(serialization.Encoding.DER)


@dataclass
class SealingServer:
    origin: str = "https://localhost:8443"
    anchors: Sequence[bytes] = (b"anchor",)
    first_contact_url: str = "https://localhost:8444"
    device_url: str = "https://localhost:8445"
    relay_urls: Sequence[str] = ()
    server_channel: bytes = b""
    token_keys: list[bytes] = field(default_factory=list)
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signer_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.root = certificate("root", self.root_key, "root", self.root_key, ca=True)
        self.signer = certificate("signer", self.signer_key, "root", self.root_key, ca=False)

    @property
    def root_spki_sha256(self) -> bytes:
        return spki_sha256(self.root)

    def seal(
        self,
        evidence: Evidence,
        *,
        purpose: Purpose = "activate",
        epoch: int | None = None,
        sequence: int | None = None,
        ticket: bytes = b"t" * 32,
        network: bytes = b"",
        permits: Sequence[str] = (),
        lifetime_s: int = 900,
        seal_key: bytes = b"",
        server_time: int = 1_800_000_000,
    ) -> bytes:
        """Seal a configuration for the device that signed `evidence`."""
        header = Header(
            purpose=purpose,
            device_id=evidence.device_id,
            epoch=evidence.epoch + (purpose == "activate") if epoch is None else epoch,
            signer_thumbprint=thumbprint(der(self.signer)),
            sequence=evidence.last_sequence + 1 if sequence is None else sequence,
            lifetime_s=lifetime_s,
            device_nonce=evidence.device_nonce,
        )
        configuration = Configuration(
            server_origin=self.origin,
            first_contact_url=self.first_contact_url,
            device_url=self.device_url,
            anchors=list(self.anchors),
            server_time=server_time,
            ticket=ticket,
            network=network,
            permits=list(permits),
            renew_after_s=3600,
            relay_urls=list(self.relay_urls),
            server_channel=self.server_channel,
            token_keys=self.token_keys,
        )
        keys = evidence.public_keys
        return seal(
            header,
            configuration,
            recipient(keys.seal_algorithm, keys.seal or seal_key),
            SoftwareSigner(self.signer_key),
            (der(self.signer), der(self.root)),
            os.urandom,
        )


def server_managed(app_key: bytes, evidence: Evidence, transaction_id: bytes, network: Network) -> bytes:
    """The network as the server puts it into a configuration: salt and ciphertext of try 0."""
    salt = os.urandom(32)
    return salt + encrypt_network(app_key, salt, evidence.device_id, transaction_id, 0, network)
