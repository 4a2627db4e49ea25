"""Tokens for a device that the server never reaches, held against what the device itself would say."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import NotAllowed, NotFound, OutsideWindow, SequenceReplayed
from admittance.protocol.access.epoch_list import verify_epoch_list
from admittance.protocol.access.offline_token import Audience, Standing, VerifiedToken, verify
from admittance.protocol.access.possession import master_secret
from admittance.protocol.signing import spki_of
from admittance.server.access.ports import DeviceToken
from admittance.server.database import Database
from admittance.server.grants.actions import permissions_of
from admittance.server.grants.model import Allowed, Grant
from admittance.wire import base64url
from tests.device_world import ORIGIN, FakeDevice
from tests.unit.server.grants.grant_world import HOUR_S, Household, household


@dataclass
class Ward:
    """A household with a monitor besides, which was activated and never heard of again."""

    home: Household
    monitor: FakeDevice
    access_key: ec.EllipticCurvePrivateKey

    async def give(self, *actions: str, **terms: object) -> Grant:
        allowed = [Allowed(self.monitor.device_id, permissions_of(actions or ("GET /measurements",)))]
        home = self.home
        return (
            await home.services.grants.give(home.owner, home.terms(**terms), allowed, email=home.guest.email)
        ).grant

    async def token(self, *actions: str, **changes: object) -> DeviceToken:
        return await self.home.token(*actions, device_id=self.monitor.device_id, **changes)

    def verify(self, token: DeviceToken, lowest_sequence: int = 0) -> VerifiedToken:
        """As the monitor does."""
        audience = Audience(
            ORIGIN,
            f"{ORIGIN}/d/{self.monitor.device_id}",
            self.home.world.keystore.device_token_spkis,
            self.access_key,
        )
        return verify(base64url.decode(token.access_token), audience, Standing(1, lowest_sequence))

    def lowest(self, epoch_list: bytes) -> int:
        keys = self.home.world.keystore.device_token_spkis
        return verify_epoch_list(epoch_list, self.monitor.device_id, keys).lowest_sequence


@pytest.fixture
async def ward(database: Database, tmp_path: Path) -> AsyncIterator[Ward]:
    home = await household(database, tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    monitor = home.world.device("monitor")
    monitor.access = spki_of(key.public_key())
    await home.world.take(monitor)
    activation = await home.world.activate(home.owner, monitor)
    opened = monitor.open(activation.sealed, home.world.root_spki_sha256)
    assert opened.configuration.ticket == b""
    assert tuple(opened.configuration.token_keys) == home.world.keystore.device_token_spkis
    yield Ward(home, monitor, key)
    await home.close()


async def test_a_token_carries_the_key_to_the_monitor_alone(ward: Ward) -> None:
    grant = await ward.give()
    token = await ward.token()
    verified = ward.verify(token)
    assert verified.key.master_secret == master_secret(
        token.server_share,
        client_share=b"c" * 32,
        device_id=ward.monitor.device_id,
        client="app",
        grant=grant.grant_id,
    )
    assert (verified.key.grant, verified.key.name) == (grant.grant_id, "Gast")
    assert (verified.key.scope, verified.key.uses) == (permissions_of(("GET /measurements",)), 0)
    assert verified.key.expires_at == token.expires_at == ward.home.now + HOUR_S
    assert ward.home.lock.pushes == []


async def test_a_nonce_of_the_monitors_comes_back_with_its_seconds(ward: Ward) -> None:
    await ward.give()
    verified = ward.verify(await ward.token(cnonce=b"n" * 16))
    assert (verified.cnonce, verified.exi_s) == (b"n" * 16, 2700)


async def test_no_token_outlives_the_window(ward: Ward) -> None:
    await ward.give(ends_at=ward.home.now + 600)
    token = await ward.token(cnonce=b"n" * 16)
    assert token.expires_at == ward.home.now + 600
    assert ward.verify(token).exi_s == 600
    ward.home.world.clock.pass_s(600)
    with pytest.raises((OutsideWindow, NotFound)):
        await ward.token()


async def test_what_an_offline_device_cannot_do_gets_no_token(ward: Ward) -> None:
    await ward.give(uses=1)
    with pytest.raises(NotAllowed, match="count uses"):
        await ward.token()
    with pytest.raises(NotAllowed, match="by reference"):
        await ward.token(token_format="reference")
    with pytest.raises(NotAllowed):
        await ward.token("PUT /alarm")


async def test_sequences_grow_and_a_grant_that_ended_is_in_the_epoch_list(ward: Ward) -> None:
    grant = await ward.give()
    first, second = await ward.token(), await ward.token(session_id="session-2")
    assert ward.verify(first).sequence < ward.verify(second).sequence
    assert ward.lowest(second.epoch_list) <= ward.verify(first).sequence
    await ward.home.services.grants.revoke(ward.home.owner, grant.grant_id)
    await ward.give()
    third = await ward.token()
    lowest = ward.lowest(third.epoch_list)
    for ended in (first, second):
        with pytest.raises(SequenceReplayed):
            ward.verify(ended, lowest)
    assert ward.verify(third, lowest)


async def test_the_monitor_is_its_owners_without_enrolling(ward: Ward) -> None:
    ward.home.world.clock.pass_s(2 * HOUR_S)
    await ward.give()
    assert ward.verify(await ward.token())
