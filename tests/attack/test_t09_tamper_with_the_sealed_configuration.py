"""T09. Means: a possession code, genuine sealed configurations of this and of other transactions and devices, and the
bytes of each. Goal: make the device accept one that is changed, old, or not meant for it now.
"""

import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from admittance.errors import DeviceRefused
from admittance.protocol.sealing import recipient, seal, thumbprint
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keystore import Keystore
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.sealed import Configuration, Envelope, Header
from tests.attack.world import Device, Guest, Met, Visit, World, activate

FLIPS = 120
APP_KEY = b"k" * 32


async def _deliver(visit: Visit, sealed: bytes, app_key: bytes = APP_KEY) -> str:
    """The device's word for it: "accepted", or the code of its refusal."""
    try:
        await visit.configure(sealed, app_key)
    except DeviceRefused as refused:
        return refused.reason
    return "accepted"


def _header_of(sealed: bytes) -> Header:
    return message.decode(message.decode(Sign1.decode(sealed).payload, Envelope).header, Header)


@dataclass
class ServersPen:
    """Signs with the server's own configuration key: what the server would make at another time, or for others."""

    keystore: Keystore
    origin: str

    def write(self, met: Met, **changes: object) -> bytes:
        """The sealed configuration for this transaction, its header changed. `seal_key` replaces the recipient."""
        seal_key = changes.pop("seal_key", met.evidence.public_keys.seal)
        assert isinstance(seal_key, bytes)
        header = _header_of(met.sealed)
        assert header.signer_thumbprint == thumbprint(self.keystore.configuration_chain[0])
        configuration = Configuration(
            server_origin=self.origin,
            first_contact_url=self.origin,
            device_url=self.origin,
            anchors=[self.keystore.tls_anchor.certificate_der],
            server_time=1_800_000_000,
            ticket=b"t" * 32,
            network=b"",
            permits=[],
            renew_after_s=60,
            relay_urls=[],
            server_channel=b"",
            token_keys=[],
        )
        return seal(
            msgspec.structs.replace(header, **changes),
            configuration,
            recipient(met.evidence.public_keys.seal_algorithm, seal_key),
            SoftwareSigner(self.keystore.configuration_key),
            self.keystore.configuration_chain,
            os.urandom,
        )


@pytest.fixture
def pen(world: World) -> ServersPen:
    return ServersPen(world.keystore(), world.stage.origin)


async def _enter(guest: Guest, device: Device) -> Visit:
    code = await device.next_code()
    return await guest.enter(code.username, code.pop)


async def test_no_bit_can_be_changed(world: World, owner: Path) -> None:
    device = await world.unowned()
    chance = random.Random(9)
    async with world.guest(device) as guest, world.api(owner) as api:
        visit = await _enter(guest, device)
        sealed = (await activate(visit, api)).sealed
        reasons: set[str] = set()
        for position in (0, *chance.sample(range(1, len(sealed)), FLIPS)):
            changed = bytearray(sealed)
            changed[position] ^= 1 << chance.randrange(8)
            reasons.add(await _deliver(visit, bytes(changed)))
        signed = Sign1.decode(sealed)
        unsigned = [
            _repacked(signed, header=msgspec.structs.replace(_header_of(sealed), **change))
            for change in ({"purpose": "reprovision"}, {"sequence": 99}, {"epoch": 9}, {"lifetime_s": 10**6})
        ]
        assert {await _deliver(visit, changed) for changed in unsigned} == {"untrusted_signer"}
        assert await _deliver(visit, sealed[:-1]) == "malformed"
        assert await _deliver(visit, sealed + b"\0") == "malformed"
        assert reasons == {"malformed", "untrusted_signer"}
        assert not device.events("configured")
        assert await _deliver(visit, sealed) == "accepted", "Unchanged it is accepted."


def _repacked(signed: Sign1, header: Header) -> bytes:
    """The same signature around another header."""
    envelope = message.decode(signed.payload, Envelope)
    payload = message.encode(Envelope(message.encode(header), envelope.seal_algorithm, envelope.ciphertext))
    return Sign1(signed.protected_bytes, payload, signed.signature).encode()


async def test_a_genuine_one_of_another_transaction_device_or_time(
    world: World, owner: Path, pen: ServersPen
) -> None:
    device, other = await world.unowned(), await world.unowned()
    async with world.guest(device) as guest, world.guest(other) as at_other, world.api(owner) as api:
        first = await activate(await _enter(guest, device), api)
        others = await activate(await _enter(at_other, other), api)
        visit = await _enter(guest, device)
        met = await activate(visit, api)
        assert met.evidence.device_nonce != first.evidence.device_nonce
        assert _header_of(met.sealed).sequence > _header_of(first.sealed).sequence

        assert await _deliver(visit, others.sealed) == "wrong_device"
        assert await _deliver(visit, first.sealed) == "wrong_nonce"
        assert await _deliver(visit, pen.write(met, epoch=met.evidence.epoch)) == "wrong_epoch"
        assert await _deliver(visit, pen.write(met, purpose="erase")) == "malformed"
        assert await _deliver(visit, pen.write(met, sequence=met.evidence.last_sequence)) == "sequence_replayed"
        await asyncio.sleep(1.1)
        assert await _deliver(visit, pen.write(met, lifetime_s=1)) == "configuration_expired"
        elsewhere = others.evidence.public_keys.seal
        assert await _deliver(visit, pen.write(met, seal_key=elsewhere)) == "not_decryptable"
        assert not device.events("configured")
        assert await _deliver(visit, pen.write(met)) == "accepted", "The pen writes what a device accepts."


async def test_one_that_was_accepted_is_not_accepted_again(world: World, owner: Path, pen: ServersPen) -> None:
    device = await world.unowned()
    async with world.guest(device) as guest, world.api(owner) as api:
        visit = await _enter(guest, device)
        claim = await activate(visit, api)
        assert await _deliver(visit, claim.sealed) == "accepted"
        assert await _deliver(visit, claim.sealed, os.urandom(32)) == "wrong_epoch", "A claim holds once."

        visit = await _enter(guest, device)
        again = await activate(visit, api)
        assert _header_of(again.sealed).purpose == "reprovision"
        assert await _deliver(visit, again.sealed) == "accepted"
        assert await _deliver(visit, again.sealed, os.urandom(32)) == "sequence_replayed"
        sequence = _header_of(again.sealed).sequence
        assert await _deliver(visit, pen.write(again, sequence=sequence - 1)) == "sequence_replayed"
        assert await _deliver(visit, claim.sealed) == "wrong_epoch"

        assert device.program is not None
        await device.program.kill()
        await world.power_up(device)
        await device.told("access_point_opened")
        async with world.guest(device) as afterwards:
            visit = await _enter(afterwards, device)
            assert await _deliver(visit, again.sealed) == "expired", "No transaction is open."
            fresh = await activate(visit, api)
            assert fresh.evidence.last_sequence == sequence, "The sequence survives a power cut."
            assert await _deliver(visit, again.sealed) == "wrong_nonce"
            assert await _deliver(visit, pen.write(fresh, sequence=sequence)) == "sequence_replayed"
    assert not device.events("configured")
