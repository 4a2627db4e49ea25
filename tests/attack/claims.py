"""Somebody's device on the relay, and all the ways in which an attacker can claim to be it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import WebSocketClosed
from admittance.protocol.signing import Signer, SoftwareSigner, spki_of
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.server.keys import certificates
from admittance.transport.websocket import WebSocket
from admittance.wire import message, relay
from admittance.wire.relay import CloseCode, RelayHello, RelayProof
from tests.attack.relay_site import WITHIN_S, Relayed, Talking, device_trust
from tests.attack.site import Enrolment, Login, Site, invented, new_key
from tests.device_world import FakeDevice
from tests.relay_ends import AppStream, open_socket

Seen = tuple[tuple[bytes, ...], int, str]
"""What a node sent after its hello, and the code and reason of its close."""

UNIFORM: Seen = ((), CloseCode.NOT_AUTHENTICATED, "")


@dataclass
class Scene:
    """A device at its owner's that is on the relay, and an attacker with a device of his own.

    `seen` holds proofs that the device made on its connections before.
    """

    site: Site
    talking: Talking
    owner: Login
    victim: Relayed
    stream: AppStream
    attacker: Login
    device: FakeDevice
    own: Enrolment
    seen: list[RelayProof] = field(default_factory=list)

    @property
    def app_port(self) -> int:
        return self.site.stage.ports.app_relay

    async def claim(self, claim: "Claim") -> Seen:
        """Connect and claim to be a device, until the node closes."""
        socket = await introduced(self.site, lambda nonce, shown: claim(self, nonce, shown))
        messages: list[bytes] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    messages.append(await socket.receive())
        except WebSocketClosed as closed:
            return tuple(messages), closed.close_code, closed.reason
        finally:
            socket.abort()

    async def assert_undisturbed(self) -> None:
        """The device is where it was, and its owner's apps reach it."""
        await self.stream.exchange(os.urandom(16))
        await (await self.talking.app(self.owner, self.victim.device_id, self.app_port)).socket.close()
        assert self.victim.echo.closings == []


async def introduced(site: Site, prove: Callable[[bytes, bytes], RelayProof]) -> WebSocket:
    """A connection on which a device's proof was sent; `prove` makes it of nonce and SHA-256 of the certificate."""
    socket, shown = await open_socket(site.stage.ports.device_relay, device_trust(site), relay.DEVICE_PATH)
    hello = message.decode(await socket.receive(), RelayHello)
    await socket.send(message.encode(prove(hello.nonce, shown)))
    return socket


@dataclass(frozen=True)
class Said:
    """What a proof shows, and what is signed for it."""

    leaf: bytes
    key: Signer
    device_id: str
    epoch: int = 1

    def proof(self, nonce: bytes, shown: bytes) -> RelayProof:
        signed = relay.proof_input(nonce, shown, self.device_id, self.epoch)
        return RelayProof([self.leaf], self.device_id, self.epoch, self.key.sign(signed))


Claim = Callable[[Scene, bytes, bytes], RelayProof]
"""Makes a proof for the connection's nonce, and for the SHA-256 of the certificate that the node showed."""


def device(scene: Scene, epoch: int = 1) -> Said:
    """As the device itself would say it."""
    echo = scene.victim.echo
    return Said(echo.chain[0], SoftwareSigner(echo.key), echo.device_id, epoch)


def attacker(scene: Scene, device_id: str) -> Said:
    """With the attacker's own certificate."""
    return Said(scene.own.chain[0], SoftwareSigner(scene.own.key), device_id)


def with_its_certificate(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return Said(device(scene).leaf, SoftwareSigner(scene.own.key), scene.victim.device_id).proof(nonce, shown)


def with_ones_own_certificate(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return attacker(scene, scene.victim.device_id).proof(nonce, shown)


def in_the_name_of_no_device(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return attacker(scene, invented().device_id).proof(nonce, shown)


def with_both_certificates(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    made = with_ones_own_certificate(scene, nonce, shown)
    return RelayProof([*made.chain, device(scene).leaf], made.device_id, made.epoch, made.signature)


def with_another_name_than_was_signed(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    made = attacker(scene, scene.device.device_id).proof(nonce, shown)
    return RelayProof(made.chain, scene.victim.device_id, made.epoch, made.signature)


def for_another_nonce(scene: Scene, _nonce: bytes, shown: bytes) -> RelayProof:
    return device(scene).proof(os.urandom(32), shown)


def seen_on_another_connection(scene: Scene, _nonce: bytes, _shown: bytes) -> RelayProof:
    return scene.seen[-1]


def for_another_server(scene: Scene, nonce: bytes, _shown: bytes) -> RelayProof:
    return device(scene).proof(nonce, sha256(scene.site.keystore.people_ca.certificate_der).digest())


def for_a_server_without_tls(scene: Scene, nonce: bytes, _shown: bytes) -> RelayProof:
    return device(scene).proof(nonce, bytes(32))


def of_an_earlier_epoch(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return device(scene, epoch=0).proof(nonce, shown)


def of_a_later_epoch(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return device(scene, epoch=2).proof(nonce, shown)


def signed_by_nobody(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    made = device(scene).proof(nonce, shown)
    return RelayProof(made.chain, made.device_id, made.epoch, os.urandom(64))


def with_a_certificate_that_is_none(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    made = device(scene).proof(nonce, shown)
    return RelayProof([os.urandom(400)], made.device_id, made.epoch, made.signature)


def by_the_issuing_ca_beside_the_registry(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    ca = scene.site.keystore.issuing_ca
    return certified_by(scene, ca.key, ca.certificate, nonce, shown)


def by_another_ca_of_the_server(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    ca = scene.site.keystore.people_ca
    return certified_by(scene, ca.key, ca.certificate, nonce, shown)


def by_a_ca_of_the_same_name(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    key, name = new_key(), scene.site.keystore.issuing_ca.certificate.subject
    named = str(name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    return certified_by(scene, key, certificates.certificate_authority(key, named, 0.0), nonce, shown)


def by_another_device(scene: Scene, nonce: bytes, shown: bytes) -> RelayProof:
    return certified_by(scene, scene.own.key, scene.own.certificate, nonce, shown)


def certified_by(
    scene: Scene, issuer_key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, nonce: bytes, shown: bytes
) -> RelayProof:
    key, now = new_key(), scene.own.certificate.not_valid_before_utc.timestamp()
    made = CertificateIssuer(issuer_key, issuer).issue(
        scene.victim.device_id, spki_of(key.public_key()), 3600, now + 60
    )
    return Said(made.der, SoftwareSigner(key), scene.victim.device_id).proof(nonce, shown)


GENUINE: dict[Claim, str] = {
    with_ones_own_certificate: "another_device",
    in_the_name_of_no_device: "another_device",
    with_both_certificates: "another_device",
    of_an_earlier_epoch: "another_epoch",
    of_a_later_epoch: "another_epoch",
}
"""Claims with a certificate and its own key; the audit log tells why they were refused."""

MADE_UP: tuple[Claim, ...] = (
    with_its_certificate,
    with_another_name_than_was_signed,
    for_another_nonce,
    seen_on_another_connection,
    for_another_server,
    for_a_server_without_tls,
    signed_by_nobody,
    with_a_certificate_that_is_none,
    by_the_issuing_ca_beside_the_registry,
    by_another_ca_of_the_server,
    by_a_ca_of_the_same_name,
    by_another_device,
)
"""Claims that leave no trace but in a counter: anybody may make as many as he likes."""


@asynccontextmanager
async def claimed_scene(site: Site) -> AsyncIterator[Scene]:
    """The device is on the relay, its owner's stream is open, and one of its proofs was seen."""
    talking, ports = Talking(site), site.stage.ports
    owner, thief = [await site.account(name) for name in ("owner", "thief")]
    victim = await talking.device(owner, ports.device_relay)
    stream = await talking.app(owner, victim.device_id, ports.app_relay)
    own = site.certified()
    scene = Scene(site, talking, owner, victim, stream, thief, own, await site.onboard(thief, own))
    socket, shown = await open_socket(ports.device_relay, device_trust(site), relay.DEVICE_PATH)
    hello = message.decode(await socket.receive(), RelayHello)
    scene.seen.append(device(scene).proof(hello.nonce, shown))
    socket.abort()
    yield scene
    await talking.end()
