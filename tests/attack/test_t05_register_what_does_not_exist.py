"""T05. Means: an account, and all that can be had without a genuine device: invented identities, a CA of one's own,
identity certificates of other devices. Goal: register a device that does not exist, or an unlimited number.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from admittance.maker.authority import Maker
from admittance.protocol.signing import SoftwareSigner
from admittance.wire import base64url
from tests.attack.site import CAMERA, LAMP, VAULT, Site, certificate_for, code_of, invented, new_key, seen
from tests.device_world import FakeDevice

QUOTA = 3
AT_ONCE = 30


def _certified_by(maker: Callable[[Site], Maker], **options: object) -> Callable[[Site], FakeDevice]:
    def make(site: Site) -> FakeDevice:
        device = invented(VAULT)
        device.certificate = certificate_for(maker(site), device, VAULT, **options)
        return device

    return make


def _self_made_ca(site: Site) -> Maker:
    """A CA with the genuine maker's name, and a key of the attacker's own."""
    key = new_key()
    return replace(site.maker, certificate=_self_signed_like(site.maker.certificate, key), key=key)


def _self_signed_like(genuine: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = x509.CertificateBuilder(issuer_name=genuine.subject, subject_name=genuine.subject)
    builder = builder.public_key(key.public_key()).serial_number(genuine.serial_number)
    builder = builder.not_valid_before(genuine.not_valid_before_utc).not_valid_after(genuine.not_valid_after_utc)
    for extension in genuine.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, genuine.signature_hash_algorithm)


def _issued_by_a_device(site: Site) -> FakeDevice:
    """A genuine device's identity key plays the CA."""
    key = new_key()
    genuine = FakeDevice(SoftwareSigner(key), VAULT, "display", site.take().secrets, invented().seal_key)
    certificate = x509.load_der_x509_certificate(certificate_for(site.maker, genuine, VAULT))
    device = invented(VAULT)
    device.certificate = certificate_for(replace(site.maker, certificate=certificate, key=key), device, VAULT)
    return device


def _of_another_key(site: Site) -> FakeDevice:
    """The certificate of a genuine device, which stands in everybody's evidence, without its key."""
    genuine, thief = site.certified(), invented(VAULT)
    thief.certificate = genuine.certificate
    return thief


def _in_the_name_of_another_key(site: Site) -> FakeDevice:
    """The same, and the evidence names the genuine device."""
    return _Impostor(site.certified(), invented(VAULT))


def _another_id(site: Site) -> FakeDevice:
    device = invented(VAULT)
    device.certificate = certificate_for(site.maker, device, VAULT, device_id=site.take().device_id)
    return device


def _of_a_listed_device(site: Site) -> FakeDevice:
    """Evidence that names a device of the manifest, signed by another key."""
    return _Impostor(site.take(), invented(LAMP))


def _listed_as_another_model(site: Site) -> FakeDevice:
    """A genuine lamp whose certificate, by a genuine maker, calls it a vault."""
    device = site.take()
    device.certificate = certificate_for(site.maker, device, VAULT)
    return device


class _Impostor(FakeDevice):
    """Names `genuine`, and signs with the key of `thief`."""

    def __init__(self, genuine: FakeDevice, thief: FakeDevice) -> None:
        super().__init__(
            thief.identity, genuine.model, genuine.presence, thief.secrets, thief.seal_key, genuine.certificate
        )
        self._genuine = genuine

    @property
    def device_id(self) -> str:
        return self._genuine.device_id


def _with_model(site: Site, model: str) -> FakeDevice:
    device = invented(model)
    device.certificate = certificate_for(site.maker, device, model)
    return device


def _with_the_makers_own(site: Site) -> FakeDevice:
    device = invented(VAULT)
    device.certificate = site.maker.certificate.public_bytes(Encoding.DER)
    return device


FORGERIES: dict[str, Callable[[Site], FakeDevice]] = {
    "invented": lambda site: invented(),
    "invented, calls itself a model with certificates": lambda site: invented(VAULT),
    "in the name of a listed device": _of_a_listed_device,
    "certified by a CA of the attacker's own": _certified_by(_self_made_ca),
    "certified by a maker of another model": _certified_by(lambda site: site.other_maker),
    "certified by a genuine device": _issued_by_a_device,
    "certificate for an unknown model": lambda site: _with_model(site, "toaster-1"),
    "certificate of another maker's model": lambda site: _with_model(site, CAMERA),
    "certificate of another key": _of_another_key,
    "certificate of another key, in its name": _in_the_name_of_another_key,
    "certificate with another device id": _another_id,
    "listed device with a certificate of another model": _listed_as_another_model,
    "the maker's own certificate": _with_the_makers_own,
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_device_that_does_not_exist_is_refused(site: Site, name: str) -> None:
    attacker = await site.somebody("attacker")
    device = FORGERIES[name](site)
    before = await site.rows("devices", "activations", "tickets", "certificates")
    refused = await site.activate(attacker, device)
    assert (refused.status_code, code_of(refused)) == (403, "evidence_refused")
    assert seen(refused) == seen(await site.activate(attacker, invented()))
    assert await site.rows("devices", "activations", "tickets", "certificates") == before


async def test_genuine_devices_are_taken(site: Site) -> None:
    """The control: what the forgeries lack is all that they lack."""
    attacker = await site.somebody("attacker")
    for device in (site.take(), site.certified()):
        assert (await site.activate(attacker, device)).status_code == 201


async def test_evidence_is_for_one_challenge_session_and_server(site: Site) -> None:
    """Evidence of a genuine device that was signed for something else registers nothing."""
    attacker, device = await site.somebody("attacker"), site.take()
    fresh = await site.evidence(attacker, device)
    swapped = {"challenge": (await site.evidence(attacker, device))["challenge"]}
    for changed in (
        fresh | {"binding": base64url.encode(os.urandom(32))},
        fresh | swapped,
        await site.evidence(attacker, device, server_origin="https://evil.example"),
        await site.evidence(attacker, device, code_age_s=16 * 60),
        await site.evidence(attacker, device, device_id=site.take().device_id),
    ):
        refused = await attacker.send("POST", "/api/activations", changed)
        assert (refused.status_code, code_of(refused)) == (403, "evidence_refused")
    assert device.device_id not in {each["device_id"] for each in await _devices(site, "attacker")}


async def test_evidence_is_for_the_account_that_asked(site: Site) -> None:
    """Somebody who sees evidence on its way cannot activate with it."""
    owner, attacker = await site.somebody("victim"), await site.somebody("attacker")
    evidence = await site.evidence(owner, site.take())
    refused = await attacker.send("POST", "/api/activations", evidence)
    assert code_of(refused) == "wrong_challenge"
    assert (await owner.send("POST", "/api/activations", evidence)).status_code == 201
    assert code_of(await attacker.send("POST", "/api/activations", evidence)) == "wrong_challenge"


async def test_thirty_genuine_devices_at_once_do_not_exceed_the_quota(site: Site) -> None:
    hoarder = await site.account("hoarder", quota=QUOTA)
    asked = [await site.evidence(hoarder, site.certified()) for _ in range(AT_ONCE)]
    answers = await asyncio.gather(*(hoarder.send("POST", "/api/activations", each) for each in asked))
    codes = sorted((answer.status_code, code_of(answer)) for answer in answers)
    assert codes == [(201, "")] * QUOTA + [(403, "quota_exceeded")] * (AT_ONCE - QUOTA)
    owned = (await hoarder.ask("GET", "/api/devices"))["devices"]
    assert (len(owned), (await hoarder.ask("GET", "/api/account"))["devices"]) == (QUOTA, QUOTA)


async def test_one_request_thirty_times_at_once_is_one_activation(site: Site) -> None:
    owner, device = await site.somebody("attacker"), site.certified()
    asked = await site.evidence(owner, device)
    answers = await asyncio.gather(*(owner.send("POST", "/api/activations", asked) for _ in range(AT_ONCE)))
    assert sorted(answer.status_code for answer in answers) == [200] * (AT_ONCE - 1) + [201]
    assert len({answer.json()["sealed"] for answer in answers}) == 1
    tickets = [row for _, row in await site.rows("activations") if device.device_id in row]
    assert len(tickets) == 1


async def test_two_accounts_at_once_get_one_device_once(site: Site) -> None:
    names = [f"rival{number}" for number in range(4)]
    rivals = [await site.somebody(name) for name in names]
    device = site.take()
    asked = [await site.evidence(rival, device) for rival in rivals]
    answers = await asyncio.gather(
        *(rival.send("POST", "/api/activations", each) for rival, each in zip(rivals, asked, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    holders = [
        name for name in names if device.device_id in {each["device_id"] for each in await _devices(site, name)}
    ]
    assert len(holders) == 1


async def _devices(site: Site, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await (await site.somebody(name)).ask("GET", "/api/devices"))["devices"]
    return found
