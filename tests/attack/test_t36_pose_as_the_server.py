"""T36. Means: a whole server of the attacker's own, with its own configuration root, and a phone that says whatever
he wants. Goal: activate a device that was made for another server.
"""

import dataclasses
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from admittance.client.session_store import SessionStore
from admittance.demo.processes import Programs
from admittance.demo.stage import device_model
from admittance.errors import DeviceRefused, EvidenceRefused, WrongOrigin
from admittance.maker.making import MANIFEST
from admittance.protocol.provisioning.network_secret import encrypt_network
from admittance.protocol.sealing import recipient, seal, thumbprint
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keystore import Keystore, open_keystore
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.evidence import Evidence
from admittance.wire.manifest import DeviceSecrets, decode_line, encode_line, encode_secrets, secrets_info
from admittance.wire.sealed import Configuration, Envelope, Header
from tests.attack.world import LAMP, Device, Neighbourhood, Visit, World, activate


@dataclass
class Rogue:
    """The attacker's server: a real one, made for its own devices."""

    world: World
    profile: Path
    keystore: Keystore

    @property
    def origin(self) -> str:
        return self.world.stage.origin

    def over_cable(self, inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        """The attacker's phone reaches his server at any time."""
        return httpx.AsyncHTTPTransport(verify=SessionStore(self.profile).load().trust())

    async def list(self, device: Device) -> None:
        """Take up the device as if the rogue's own maker had made it; its identity's public key is no secret."""
        manifest = (device.folder.parent / MANIFEST).read_bytes().splitlines()
        entry = next(entry for entry in map(decode_line, manifest) if entry.device_id == device.device_id)
        birth = device.birth
        known = DeviceSecrets(birth.access_point_ssid, birth.access_point_passphrase, None, None)
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        key = self.keystore.manifest_key.public_key()
        sealed = suite.encrypt(encode_secrets(known), key, secrets_info(device.device_id))
        path = self.world.stage.folder / "stolen.jsonl"
        path.write_bytes(encode_line(dataclasses.replace(entry, secrets=sealed)))
        await self.world.stage.admit("import", "devices", "import", path, "--config", self.world.stage.config)

    def seal(
        self,
        evidence: Evidence,
        origin: str,
        key: ec.EllipticCurvePrivateKey,
        chain: tuple[bytes, ...],
        anchor: bytes | None = None,
    ) -> bytes:
        """What a server would seal for this transaction, leading to the rogue's listeners."""
        header = Header(
            purpose="activate",
            device_id=evidence.device_id,
            epoch=evidence.epoch + 1,
            signer_thumbprint=thumbprint(chain[0]),
            sequence=evidence.last_sequence + 1,
            lifetime_s=900,
            device_nonce=evidence.device_nonce,
        )
        ports = self.world.stage.ports
        configuration = Configuration(
            server_origin=origin,
            first_contact_url=f"https://localhost:{ports.first_contact}",
            device_url=f"https://localhost:{ports.device}",
            anchors=[anchor or self.keystore.tls_anchor.certificate_der],
            server_time=int(time.time()),
            ticket=os.urandom(32),
            network=b"",
            permits=[],
            renew_after_s=60,
            relay_urls=[],
            server_channel=b"",
            token_keys=[],
        )
        to = recipient(evidence.public_keys.seal_algorithm, evidence.public_keys.seal)
        return seal(header, configuration, to, SoftwareSigner(key), chain, os.urandom)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rogue(opened_world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rogue]:
    folder = tmp_path_factory.mktemp("rogue")
    async with Programs(folder / "logs") as programs:
        stage = Neighbourhood(folder, programs, ports=opened_world.stage.foreign)
        stage.write_config(device_model(LAMP, "display", "listed", ()))
        await stage.serve()
        world = World(stage)
        profile = await world.account("attacker")
        yield Rogue(world, profile, open_keystore(stage.data / "keys", now=time.time(), create=False))


async def _untouched(device: Device) -> bool:
    status = await device.status()
    kept = (status["owned"], status["epoch"], status["network"], status["enrolled"])
    return kept == (False, 0, None, False) and not device.events("configured")


async def _refused_with(visit: Visit, sealed: bytes) -> str:
    with pytest.raises(DeviceRefused) as refused:
        await visit.configure(sealed, os.urandom(32))
    return refused.value.reason


async def test_a_phone_of_another_server_refuses_the_device(world: World, rogue: Rogue) -> None:
    device = await world.unowned(qr="url")
    code = await device.next_code()
    assert code.origin == world.stage.origin != rogue.origin
    async with world.phone(rogue.profile, around=rogue.over_cable) as phone:
        with pytest.raises(WrongOrigin):
            await phone.run(code)
        assert not device.events("session_proven"), "The code of another server's device is not even tried."
        with pytest.raises(WrongOrigin):
            await phone.run(dataclasses.replace(code, origin=None))
    assert device.events("session_proven"), "Where the code is silent, the device says whose it is."
    async with rogue.world.api(rogue.profile) as api:
        assert await api.devices() == []
    assert await _untouched(device)


async def test_a_phone_that_lies_activates_nothing_at_an_honest_server(world: World, rogue: Rogue) -> None:
    device = await world.unowned()
    await rogue.list(device)
    code = await device.next_code()
    async with world.guest(device) as guest, rogue.world.api(rogue.profile) as api:
        with pytest.raises(EvidenceRefused):
            await activate(await guest.enter(code.username, code.pop), api)
        assert await api.devices() == []
    refusals = await rogue.world.audited(f"device:{device.device_id}")
    assert refusals[-1] == ("activation.refused", {"reason": "wrong_origin"})
    assert await _untouched(device)


async def test_the_device_takes_no_configuration_of_another_root(world: World, rogue: Rogue, owner: Path) -> None:
    device = await world.unowned()
    code = await device.next_code()
    async with world.guest(device) as guest, world.api(owner) as api:
        visit = await guest.enter(code.username, code.pop)
        met = await activate(visit, api)
        genuine = Sign1.decode(met.sealed)
        signer, root = genuine.chain
        own_key, own_chain = rogue.keystore.configuration_key, rogue.keystore.configuration_chain
        origins = (rogue.origin, world.stage.origin)
        forged = [rogue.seal(met.evidence, origin, own_key, own_chain) for origin in origins]
        forged += [
            rogue.seal(met.evidence, world.stage.origin, own_key, chain)
            for chain in ((own_chain[0], root), (signer, root), (signer, own_chain[1]), (own_chain[0],))
        ]
        envelope = message.decode(Sign1.decode(forged[1]).payload, Envelope)
        forged.append(Sign1(genuine.protected_bytes, message.encode(envelope), genuine.signature).encode())
        for sealed in forged:
            assert await _refused_with(visit, sealed) == "untrusted_signer"
        assert await _untouched(device)

        own = world.keystore()
        led_astray = rogue.seal(met.evidence, rogue.origin, own.configuration_key, own.configuration_chain)
        assert await _refused_with(visit, led_astray) == "wrong_origin", "Not even its own server's key can."
        assert await _untouched(device)
        await visit.configure(met.sealed, os.urandom(32))
        assert device.events("configured"), "Its own server's is taken."


async def test_a_network_that_leads_to_another_server_is_not_kept(world: World, rogue: Rogue, owner: Path) -> None:
    """The device reaches the rogue where its own server should be, as in a network that lies about addresses."""
    device = await world.unowned()
    code = await device.next_code()
    app_key, salt, own = os.urandom(32), os.urandom(32), world.keystore()
    async with world.guest(device) as guest, world.api(owner) as api:
        visit = await guest.enter(code.username, code.pop)
        met = await activate(visit, api)
        sealed = rogue.seal(
            met.evidence,
            world.stage.origin,
            own.configuration_key,
            own.configuration_chain,
            own.tls_anchor.certificate_der,
        )
        await visit.configure(sealed, app_key)
        transaction_id = met.answer.transaction_id
        ciphertext = encrypt_network(app_key, salt, device.device_id, transaction_id, 1, world.home)
        await visit.send_network(1, salt, ciphertext)
        await device.told("network_failed")
        status = await visit.status()
    assert (status.state, status.cause) == ("failed", "untrusted_server")
    assert (await device.status())["network"] is None
