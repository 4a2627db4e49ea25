"""T17. Means: the network, another genuine device with its key and certificate, proofs that were seen, a place
between device and relay. Goal: be taken for somebody's device at the relay, or push it off the relay.

Whatever is wrong with a proof, the node says the same. The device stays connected, and answers.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization

from admittance.demo.ports import free_ports
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keys import certificates
from admittance.wire import message, relay
from admittance.wire.relay import CloseCode, RelayTicket
from tests.attack.claims import GENUINE, MADE_UP, UNIFORM, Claim, Said, Scene, claimed_scene, device
from tests.attack.relay_in_the_middle import RelayInTheMiddle
from tests.attack.relay_site import Relayed, device_trust, refused, until
from tests.attack.site import ON_SQLITE, Site, new_key
from tests.relay_ends import EchoDevice, open_socket


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(site: Site) -> AsyncIterator[Scene]:
    async with claimed_scene(site) as opened:
        yield opened


@ON_SQLITE
@pytest.mark.parametrize("claim", [*GENUINE, *MADE_UP], ids=lambda claim: claim.__name__)
async def test_a_false_proof_is_refused_like_any_other(scene: Scene, claim: Claim) -> None:
    before = await refusals(scene.site)
    assert await scene.claim(claim) == UNIFORM
    await scene.assert_undisturbed()
    told = await refusals(scene.site)
    if claim in GENUINE:
        accused = scene.victim if "epoch" in GENUINE[claim] else scene
        device_id = accused.device_id if isinstance(accused, Relayed) else scene.device.device_id
        assert (f"device:{device_id}", GENUINE[claim]) in told
    else:
        assert told == before


async def refusals(site: Site) -> set[tuple[str, str]]:
    """Devices, and why claims to be one were refused, as the audit log has it."""
    rows = [row for _, row in await site.rows("audit") if row[2] == "relay.refused"]
    return {(str(row[4]), str(json.loads(row[5])["reason"])) for row in rows}


@ON_SQLITE
async def test_what_is_no_proof_is_refused_without_a_look_at_it(scene: Scene) -> None:
    port, told = scene.site.stage.ports.device_relay, set()
    genuine = message.encode(device(scene).proof(os.urandom(32), bytes(32)))
    for junk in (
        b"",
        b"\x80",
        os.urandom(100),
        genuine[:-1],
        genuine + b"\0",
        message.encode(RelayTicket(bytes(32))),
    ):
        socket, _ = await open_socket(port, device_trust(scene.site), relay.DEVICE_PATH)
        await socket.receive()
        await socket.send(junk)
        told.add(await refused(socket.receive()))
    assert told == {CloseCode.MALFORMED}
    await scene.assert_undisturbed()


@ON_SQLITE
async def test_the_device_of_an_earlier_owner_hears_that_it_ended_and_nothing_more(scene: Scene) -> None:
    """Whoever kept key and certificate of an earlier epoch: the right proof, of what is over."""
    site, ports = scene.site, scene.site.stage.ports
    fake = site.certified()
    kept = await site.onboard(scene.owner, fake)
    await scene.owner.ask("POST", f"/api/devices/{fake.device_id}/release")
    heir, enrolment = scene.attacker, await site.onboard(scene.attacker, fake)
    echo = EchoDevice(
        fake.device_id, fake.epoch, enrolment.key, enrolment.chain, device_trust(site), [ports.device_relay]
    )
    echo.start()
    scene.talking.devices.append(echo)
    await until(lambda: echo.port is not None)
    stream = await scene.talking.app(heir, fake.device_id, ports.app_relay)
    for epoch, seen in ((1, CloseCode.REVOKED), (2, CloseCode.NOT_AUTHENTICATED)):
        said = Said(kept.chain[0], SoftwareSigner(kept.key), fake.device_id, epoch)
        messages, code, _ = await scene.claim(lambda _, nonce, shown, said=said: said.proof(nonce, shown))
        assert code == seen
        frames = [frame for each in messages[1:] for frame in relay.decode_frames(each)]
        assert {frame.stream for frame in frames} <= {relay.SERVER_STREAM}
        await stream.exchange(os.urandom(16))
        await scene.talking.app(heir, fake.device_id, ports.app_relay)
    assert echo.closings == []


@ON_SQLITE
@pytest.mark.parametrize("is_the_nodes_own", [True, False], ids=["the node's certificate", "another of its anchor"])
async def test_a_proof_cannot_be_passed_on(scene: Scene, tmp_path: Path, is_the_nodes_own: bool) -> None:
    """The attacker stands where devices look for the relay, with a certificate that they trust, and passes on all."""
    site, ports, listening = scene.site, scene.site.stage.ports, free_ports(2)
    keys = site.keystore
    data = site.stage.data if is_the_nodes_own else with_own_certificates(tmp_path, site)
    trust = keys.people_ca.certificate_pem + keys.tls_anchor.certificate_pem
    middle = RelayInTheMiddle(data, (ports.app_relay, ports.device_relay), trust)
    fake = site.certified()
    enrolment = await site.onboard(scene.owner, fake)
    echo = EchoDevice(fake.device_id, fake.epoch, enrolment.key, enrolment.chain, device_trust(site), listening[1:])
    async with middle.opened(*listening):
        echo.start()
        await until(lambda: echo.port is not None or bool(echo.closings))
        assert (echo.port is not None) is is_the_nodes_own
        assert echo.closings == ([] if is_the_nodes_own else [CloseCode.NOT_AUTHENTICATED])
        await echo.stop()


def with_own_certificates(folder: Path, site: Site) -> Path:
    """A server's folder with keys of the attacker's, certified by the anchors of the site."""
    (folder / "tls").mkdir()
    for name, ca in (("people", site.keystore.people_ca), ("device", site.keystore.tls_anchor)):
        key, now = new_key(), ca.certificate.not_valid_before_utc.timestamp() + 2 * 86_400
        leaf = certificates.tls_certificate(key.public_key(), ("localhost",), ca.certificate, ca.key, now)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "tls" / f"{name}.pem").write_bytes(pem + leaf.public_bytes(serialization.Encoding.PEM))
    return folder
