"""Channels by a possession key, through a relay with real TLS and WebSockets."""

import os
from pathlib import Path

import pytest

from admittance.client.channel.content import Content
from admittance.client.possession.connecting import connect_with_key
from admittance.client.possession.key_store import KeyStore
from admittance.client.session_store import SessionStore
from admittance.errors import AuthenticationFailed, DeviceOffline, NetworkFailure, Unavailable
from tests.unit.client.channel.relay_world import DEVICE_ID, World, discovers, large, relay_world


async def nobody(device_id: str) -> tuple[str, int]:
    raise DeviceOffline("Nobody answers here.")


def guest(world: World) -> SessionStore:
    return SessionStore(world.store.directory.parent / "guest")


async def test_a_guest_talks_through_the_relay(tmp_path: Path) -> None:
    body = os.urandom(20_000)
    async with relay_world(tmp_path) as world:
        held = world.hold()
        async with connect_with_key(guest(world), held, find=nobody) as device:
            assert (await device.get("/value")).text() == "0"
            assert (await device.post("/echo", Content(body))).payload == body
            assert (await device.get("/large")).payload == large()
        assert not any(held.master_secret in data or b"value" in data for data in world.relay.seen)


async def test_a_lost_channel_is_opened_again_by_the_same_key(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        async with connect_with_key(guest(world), world.hold(), find=nobody) as device:
            assert (await device.get("/value")).text() == "0"
            world.relay.cut()
            with pytest.raises((Unavailable, NetworkFailure)):
                await device.get("/value")
            assert (await device.get("/value")).text() == "0"
        assert len(world.relay.upgrades) == 2


async def test_a_key_that_the_device_does_not_take_says_why_that_may_be(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        held = world.hold(token=bytes(16))
        with pytest.raises(AuthenticationFailed, match="used up"):
            async with connect_with_key(guest(world), held, find=nobody):
                pass


async def test_a_key_of_another_server_than_the_logins_opens_nothing(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        held = world.hold(origin="https://elsewhere.example")
        with pytest.raises(AuthenticationFailed, match="elsewhere"):
            async with connect_with_key(guest(world), held, find=nobody):
                pass


async def test_relays_that_were_learnt_are_kept_with_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_world(tmp_path) as world:
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", discovers([world.relay.url]))
        async with connect_with_key(guest(world), world.hold(relay_urls=[]), find=nobody) as device:
            assert (await device.get("/value")).text() == "0"
        assert KeyStore(guest(world).directory).find(DEVICE_ID).relay_urls == [world.relay.url]
