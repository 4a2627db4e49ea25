"""T17. Means: the network, other genuine devices, certificates that were seen, a CA of one's own, even a certificate
of the server's own CA that the registry does not know. Goal: be taken for a device.
"""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from admittance.protocol.enrolment.building import build_request
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.protocol.signing import sign1, spki_of
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.wire import message
from admittance.wire.enrolment import DeviceStatus, EnrolmentRequest
from admittance.wire.relay import CloseCode
from tests.attack.relay_site import device_trust, until
from tests.attack.site import CBOR, ON_SQLITE, Enrolment, Site, code_of, enrolled, new_key, seen
from tests.device_world import FakeDevice
from tests.relay_ends import EchoDevice

STATUS = "/device/status"
LIFE_S = 3


@pytest_asyncio.fixture(loop_scope="session")
async def victim(site: Site) -> tuple[FakeDevice, Enrolment]:
    """A device at its owner's, with its certificate."""
    device = site.certified()
    return device, await site.onboard(await site.somebody("owner"), device)


@ON_SQLITE
async def test_another_key_does_not_enrol_in_a_devices_name(site: Site, victim: tuple[FakeDevice, Enrolment]) -> None:
    device, _ = victim
    before = await site.rows("certificates", "devices")
    for attacker in (site.take(), site.certified()):
        named = {"device_id": device.device_id, "epoch": device.epoch}
        request = build_request(attacker.identity, new_key(), nonce=await site.nonce(device.device_id), **named)
        report = build_reset_report(attacker.identity, nonce=await site.nonce(device.device_id), resets=9, **named)
        refused = await site.hand_in(request)
        unheard = await site.device_side.post("/enrolment/resets", content=report, headers=CBOR)
        assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
        assert seen(unheard) == seen(refused)
    assert await site.rows("certificates", "devices") == before


@ON_SQLITE
async def test_a_nonce_is_the_servers_for_this_device_and_once(
    site: Site, victim: tuple[FakeDevice, Enrolment]
) -> None:
    device, _ = victim
    genuine = await site.nonce(device.device_id)
    forged = genuine[:-1] + bytes([genuine[-1] ^ 1])
    prolonged = (int(time.time()) + 10**6).to_bytes(8, "big") + genuine[8:]
    of_another = await site.nonce(site.certified().device_id)
    for nonce in (os.urandom(32), bytes(32), forged, prolonged, of_another):
        refused = await site.hand_in(device.enrolment(new_key(), nonce))
        assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
    assert (await site.hand_in(device.enrolment(new_key(), genuine))).status_code == 201
    reused = await site.hand_in(device.enrolment(new_key(), genuine))
    assert (reused.status_code, code_of(reused)) == (409, "already_used")


@ON_SQLITE
async def test_a_recorded_renewal_gives_its_own_certificate_and_no_other(
    site: Site, victim: tuple[FakeDevice, Enrolment]
) -> None:
    """Whoever replays a request gets what the device got: worth nothing without the device's new key."""
    device, _ = victim
    key = new_key()
    recorded = device.enrolment(key, await site.nonce(device.device_id))
    answers = [await site.hand_in(recorded) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert len({enrolled(answer, key).chain[0] for answer in answers}) == 1


@ON_SQLITE
async def test_a_key_that_is_not_ones_own_gets_no_certificate(
    site: Site, victim: tuple[FakeDevice, Enrolment]
) -> None:
    """A device asks for a certificate over the operational key of another, whose request it took."""
    _, enrolment = victim
    device = site.certified()
    await site.onboard(await site.somebody("attacker"), device)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256())
    der, spki = request.public_bytes(Encoding.DER), _spki(request.public_key())
    stolen = der.replace(spki, _spki(enrolment.key.public_key()))
    assert stolen != der
    forged = _Asks(device, stolen)
    refused = await site.hand_in(forged.enrolment(new_key(), await site.nonce(device.device_id)))
    assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")


@ON_SQLITE
async def test_the_device_listener_takes_no_connection_without_a_certificate_of_its_ca(
    site: Site, victim: tuple[FakeDevice, Enrolment]
) -> None:
    device, genuine = victim
    key = new_key()
    ca = site.keystore.issuing_ca.certificate
    self_signed = _certificate(device, key, _name(device.device_id), key)
    same_name = _certificate(device, key, ca.subject, new_key())
    by_another_ca = _certificate(
        device, key, site.keystore.people_ca.certificate.subject, site.keystore.people_ca.key
    )
    by_a_device = _certificate(device, key, genuine.certificate.subject, genuine.key)
    for chain in (
        [],
        [self_signed],
        [same_name],
        [same_name, ca.public_bytes(Encoding.DER)],
        [by_another_ca, site.keystore.people_ca.certificate_der],
        [by_a_device, *genuine.chain],
    ):
        with pytest.raises(httpx.TransportError):
            await site.as_device(key if chain else None, chain).get(STATUS)


@ON_SQLITE
async def test_a_certificate_without_its_key_opens_nothing(site: Site, victim: tuple[FakeDevice, Enrolment]) -> None:
    """A certificate is public: it goes over the wire, and whoever has it can put it anywhere but in a handshake."""
    _, genuine = victim
    other = site.certified()
    attacker = await site.onboard(await site.somebody("attacker"), other)
    with pytest.raises(ssl.SSLError):
        site.as_device(new_key(), genuine.chain)
    pem = ssl.DER_cert_to_PEM_cert(genuine.chain[0]).replace("\n", "")
    claims = {
        "client-cert": f":{pem}:",
        "x-ssl-client-cert": pem,
        "x-forwarded-client-cert": pem,
        "x-client-verify": "SUCCESS",
    }
    answer = await site.as_device(attacker.key, attacker.chain).get(STATUS, headers=claims)
    assert message.decode(answer.content, DeviceStatus).device_id == other.device_id
    assert (await site.attacker.get(STATUS, headers=claims)).status_code == 404
    for client in (site.device_side, site.as_device(attacker.key, attacker.chain, site.stage.ports.first_contact)):
        refused = await client.get(STATUS, headers=claims)
        assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")


@ON_SQLITE
async def test_a_certificate_of_the_right_ca_that_the_registry_does_not_know_is_refused(
    site: Site, victim: tuple[FakeDevice, Enrolment]
) -> None:
    """Somebody got the issuing CA to sign: with the server's own code, but beside the registry."""
    device, genuine = victim
    issuing_ca = site.keystore.issuing_ca
    key = new_key()
    for public_key, signer in ((key, key), (genuine.key, genuine.key)):
        issued = CertificateIssuer(issuing_ca.key, issuing_ca.certificate).issue(
            device.device_id, _spki(public_key.public_key()), 3600, time.time()
        )
        refused = await site.as_device(signer, [issued.der]).get(STATUS)
        assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
    same_serial = _certificate(
        device, key, issuing_ca.certificate.subject, issuing_ca.key, serial=genuine.certificate.serial_number
    )
    assert (await site.as_device(key, [same_serial]).get(STATUS)).status_code == 401
    assert (await site.as_device(genuine.key, genuine.chain).get(STATUS)).status_code == 200


@ON_SQLITE
async def test_a_device_is_nobody_but_itself(site: Site, victim: tuple[FakeDevice, Enrolment]) -> None:
    device, _ = victim
    other = site.certified()
    attacker = await site.onboard(await site.somebody("attacker"), other)
    client = site.as_device(attacker.key, attacker.chain)
    for path in (STATUS, f"{STATUS}?device_id={device.device_id}"):
        answer = await client.get(path, headers={"x-device-id": device.device_id})
        assert message.decode(answer.content, DeviceStatus).device_id == other.device_id


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server whose certificates live for some seconds: they begin a minute ago."""
    policy = f"certificate_ttl_s = {60 + LIFE_S}\n[relay]\nsilence_s = 3"
    async with Site.open(tmp_path_factory.mktemp("hasty"), policy=policy, lamps=0, locks=0) as opened:
        yield opened


async def test_an_expired_certificate_opens_no_connection_and_keeps_none(hasty_site: Site) -> None:
    site, device = hasty_site, hasty_site.certified()
    enrolment = await site.onboard(await site.account(), device)
    held = site.as_device(enrolment.key, enrolment.chain)
    assert (await held.get(STATUS)).status_code == 200
    port = site.stage.ports.device_relay
    relayed = EchoDevice(device.device_id, 1, enrolment.key, enrolment.chain, device_trust(site), [port])
    relayed.start()
    await until(lambda: relayed.port == port)
    end = enrolment.certificate.not_valid_after_utc
    await asyncio.sleep((end - datetime.now(UTC)).total_seconds() + 1.1)
    refused = await held.get(STATUS)
    assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
    with pytest.raises(httpx.TransportError):
        await site.as_device(enrolment.key, enrolment.chain).get(STATUS)
    await until(lambda: len(relayed.closings) > 1)
    assert relayed.closings[:2] == [CloseCode.UNAVAILABLE, CloseCode.NOT_AUTHENTICATED]
    await relayed.stop()


class _Asks(FakeDevice):
    """Signs a request around a PKCS #10 request that is not its own."""

    def __init__(self, device: FakeDevice, csr: bytes) -> None:
        super().__init__(device.identity, device.model, device.presence, device.secrets, device.seal_key)
        self.epoch, self._csr = device.epoch, csr

    def enrolment(self, key: ec.EllipticCurvePrivateKey, nonce: bytes, ticket: bytes = b"") -> bytes:
        request = EnrolmentRequest(nonce, self.device_id, self.epoch, ticket, self._csr)
        return sign1(self.identity, message.encode(request))


def _certificate(
    device: FakeDevice,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    serial: int | None = None,
) -> bytes:
    """What looks like an operational certificate of `device`."""
    now = datetime.now(UTC)
    uri = x509.UniformResourceIdentifier(f"urn:admittance:device:{device.device_id}")
    return (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=_name(device.device_id))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _spki(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return spki_of(key)
