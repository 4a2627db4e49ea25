"""Channels to a device through a relay, over real TLS and WebSockets."""

import asyncio
import os
import time
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from admittance.client.channel.cards import DeviceCard, from_text, to_text
from admittance.client.channel.connecting import connect
from admittance.client.channel.content import Content
from admittance.client.channel.credential_api import CredentialApi, admit_guest, entry_of
from admittance.client.channel.known_devices import KnownDevice
from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    ChannelLost,
    ConfigurationError,
    Conflict,
    DeviceOffline,
    Malformed,
    NetworkFailure,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    RelayBusy,
    TooLarge,
    Unavailable,
)
from admittance.wire.channel import GET, Permission, kid_of
from admittance.wire.relay import CloseCode
from tests.unit.client.channel.relay_world import DEVICE_ID, TOKEN, discovers, large, relay_world, until


async def no_local(device_id: str) -> tuple[str, int]:
    raise DeviceOffline("Nobody answers here.")


@pytest.fixture(autouse=True)
def _no_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.client.channel.discovery.find", no_local)


async def test_requests_go_to_the_device_and_come_back(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        assert (await device.post("/echo", Content.of_cbor({"a": 1.5}))).cbor() == {"a": 1.5}
        assert (await device.get("/value")).text() == "0"
        await device.put("/value", Content.of_text("7"))
        assert (await device.get("/value")).text() == "7"


async def test_large_bodies_go_both_ways(tmp_path: Path) -> None:
    body = os.urandom(60_000)
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        assert (await device.post("/echo", Content(body))).payload == body
        assert (await device.get("/large")).payload == large()


async def test_many_requests_at_once_share_a_channel(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        texts = [f"request {number}" for number in range(40)]
        answers = await asyncio.gather(*(device.post("/echo", Content.of_text(text)) for text in texts))
        assert [answer.text() for answer in answers] == texts
        assert len(world.relay.upgrades) == 1


async def test_the_relay_sees_no_plaintext(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        await device.put("/value", Content.of_text("the plaintext"))
        await device.get("/value")
        assert len(world.relay.seen) >= 8
        assert not any(b"the plaintext" in data or b"value" in data for data in world.relay.seen)


async def test_the_upgrade_is_proven_by_dpop(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        world.relay.wants_nonce = True
        async with connect(world.store, DEVICE_ID):
            pass
        first, second = (dict(upgrade.extra_headers) for upgrade in world.relay.upgrades)
        assert second[b"authorization"] == f"DPoP {TOKEN}".encode()
        assert first[b"dpop"] != second[b"dpop"]
        assert world.relay.upgrades[0].target == f"/relay/{DEVICE_ID}"
        assert TOKEN not in world.relay.upgrades[0].target


REFUSALS = [
    ((401, "authentication_failed"), AuthenticationFailed),
    ((403, "not_allowed"), NotAllowed),
    ((404, "not_found"), NotFound),
    ((404, "device_offline"), DeviceOffline),
    ((429, "quota_exceeded"), QuotaExceeded),
    ((503, "unavailable"), Unavailable),
    ((500, ""), Unavailable),
]


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS)
async def test_a_refused_upgrade_is_the_error_that_it_names(
    tmp_path: Path, refusal: tuple[int, str], expected: type[AdmittanceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay_world(tmp_path) as world:
        world.relay.refuse = refusal
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", discovers([world.relay.url]))
        with pytest.raises(expected):
            async with connect(world.store, DEVICE_ID):
                pass


CLOSES = [
    (CloseCode.MALFORMED, Malformed, "version"),
    (CloseCode.NOT_AUTHENTICATED, AuthenticationFailed, "admit account login"),
    (CloseCode.REVOKED, NotAllowed, "admit devices show"),
    (CloseCode.OFFLINE, DeviceOffline, "--local"),
    (CloseCode.IDLE, ChannelLost, "idle"),
    (CloseCode.SUPERSEDED, ChannelLost, "anew"),
    (CloseCode.TOO_LARGE, TooLarge, "64 KiB"),
    (CloseCode.QUOTA, QuotaExceeded, "limit"),
    (1001, ChannelLost, "broke"),
]


@pytest.mark.parametrize(("code", "expected", "words"), CLOSES)
async def test_each_close_code_is_an_error_with_a_next_step(
    tmp_path: Path, code: int, expected: type[AdmittanceError], words: str
) -> None:
    async with relay_world(tmp_path) as world:
        world.relay.close = (code, "")
        with pytest.raises(expected, match=words):
            async with connect(world.store, DEVICE_ID):
                pass


async def test_a_draining_relay_is_asked_again_after_the_time_that_it_names(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        world.relay.close = (CloseCode.UNAVAILABLE, "retry_after_ms=10")
        with pytest.raises(RelayBusy) as busy:
            async with connect(world.store, DEVICE_ID):
                pass
        assert busy.value.retry_after_s == 0.01
        assert len(world.relay.upgrades) == 4


async def test_urls_are_tried_in_turn_and_then_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_world(tmp_path) as world:
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", discovers([world.relay.url]))
        world.know(relay_urls=["wss://localhost:1", "wss://localhost:2"])
        async with connect(world.store, DEVICE_ID) as device:
            assert (await device.get("/value")).text() == "0"
        assert world.store.devices.find(DEVICE_ID).relay_urls == [world.relay.url]


async def test_a_server_without_a_relay_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_world(tmp_path) as world:
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", discovers([]))
        world.know(relay_urls=[])
        with pytest.raises(ConfigurationError, match="--local"):
            async with connect(world.store, DEVICE_ID):
                pass


async def test_only_tls_is_spoken(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        world.know(relay_urls=[world.relay.url.replace("wss", "ws")])
        with pytest.raises(Malformed):
            async with connect(world.store, DEVICE_ID):
                pass
        assert world.relay.upgrades == []


async def test_a_relay_with_another_certificate_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with relay_world(tmp_path) as world, relay_world(tmp_path / "other") as other:
        session = world.store.load()
        world.store.save(msgspec.structs.replace(session, ca_pem=other.store.load().ca_pem))
        world.know()
        with pytest.raises(NetworkFailure):
            async with connect(world.store, DEVICE_ID):
                pass
        assert world.relay.upgrades == []


async def test_an_app_that_is_not_listed_is_told_what_to_do(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        world.device.listed = world.device.listed.end_epoch(1)
        with pytest.raises(AuthenticationFailed, match="admit credentials add"):
            async with connect(world.store, DEVICE_ID):
                pass


async def test_another_device_in_its_place_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with relay_world(tmp_path) as world, relay_world(tmp_path / "other") as other:
        world.know(channel=other.device.key.credential.spki)
        with pytest.raises(AuthenticationFailed):
            async with connect(world.store, DEVICE_ID):
                pass


async def test_a_login_at_another_server_is_named(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        world.know(origin="https://elsewhere")
        with pytest.raises(AuthenticationFailed, match="elsewhere"):
            async with connect(world.store, DEVICE_ID):
                pass


async def test_an_app_that_loses_its_relay_in_mid_request_reports_it_once(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        asked = asyncio.create_task(device.get("/slow"))
        await until(lambda: world.device.slow == 1)
        await world.relay.stop()
        with pytest.raises(ChannelLost):
            await asked
        await world.relay.start()
        assert (await device.get("/value")).text() == "0"
        assert world.device.slow == 1, "The request was not sent again."


async def test_a_request_without_an_answer_ends_in_time(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        with pytest.raises(Unavailable):
            await device.get("/slow", timeout_s=0.2)
        assert (await device.get("/value")).text() == "0"


async def test_nothing_is_carried_out_twice_across_many_losses(tmp_path: Path) -> None:
    answered = failed = 0
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        for number in range(12):
            if number % 3 == 1:
                world.relay.cut()
            try:
                await device.post("/count")
                answered += 1
            except ChannelLost:
                failed += 1
        assert answered + failed == 12
        assert answered <= world.device.count <= 12


async def test_an_observation_tells_each_change(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        async with aclosing(device.observe("/value")) as contents:
            assert (await anext(contents)).text() == "0"
            world.device.change(b"1")
            assert (await anext(contents)).text() == "1"
        await until(lambda: all(each.observations == 0 for each in world.device.conversations))


async def test_an_observation_goes_on_after_its_channel_was_lost(tmp_path: Path) -> None:
    told: list[str] = []
    async with (
        relay_world(tmp_path) as world,
        connect(world.store, DEVICE_ID, told=told.append) as device,
        aclosing(device.observe("/value")) as contents,
    ):
        assert (await anext(contents)).text() == "0"
        world.relay.cut()
        world.device.value = b"changed meanwhile"
        assert (await anext(contents)).text() == "changed meanwhile"
        world.device.change(b"2")
        assert (await anext(contents)).text() == "2"
    assert len(told) == 2


async def test_an_observation_ends_with_the_access(tmp_path: Path) -> None:
    async with (
        relay_world(tmp_path) as world,
        connect(world.store, DEVICE_ID) as device,
        aclosing(device.observe("/value")) as contents,
    ):
        await anext(contents)
        world.relay.end(CloseCode.REVOKED)
        with pytest.raises(NotAllowed, match="revoked"):
            await anext(contents)
        assert len(world.relay.upgrades) == 1


async def test_what_cannot_be_observed_says_so(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        with pytest.raises(Conflict, match="cannot be observed"):
            await anext(device.observe("/large"))
        with pytest.raises(NotFound):
            await anext(device.observe("/nothing"))


async def test_the_devices_refusals_are_errors(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        with pytest.raises(NotFound, match=r"4\.04"):
            await device.get("/nothing")
        with pytest.raises(NotAllowed, match="guests only"):
            await device.get("/forbidden")
        with pytest.raises(Malformed):
            await device.get("no/path")


async def test_another_app_is_let_in_and_removed_again(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        tablet = world.other_app("tablet")
        card = tablet.app_keys().card("tablet")
        async with connect(world.store, DEVICE_ID) as device:
            api = CredentialApi(device)
            await api.add(entry_of(card, "owner", 1))
            tablet.devices.keep(world.store.devices.find(DEVICE_ID))
            async with connect(tablet, DEVICE_ID) as same:
                assert (await same.get("/value")).text() == "0"
            assert [(app.role, app.name) for app in await api.list()] == [("owner", "phone"), ("owner", "tablet")]
            await api.remove((await api.find("tablet")).kid)
        with pytest.raises(AuthenticationFailed):
            async with connect(tablet, DEVICE_ID):
                pass


async def test_a_guest_hands_its_admission_to_the_device_itself(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        guest = world.other_app("guest")
        known = world.store.devices.find(DEVICE_ID)
        admission = admit_guest(
            known,
            world.store.app_keys(),
            guest.app_keys().card("guest"),
            os.urandom(16),
            expires_at=int(time.time()) + 60,
            scope=(Permission("/value", GET),),
        )
        guest.devices.keep(KnownDevice.of_card(from_text(to_text(known.card(admission)), DeviceCard)))
        async with connect(guest, DEVICE_ID) as device:
            assert (await device.get("/value")).text() == "0"
        assert guest.devices.find(DEVICE_ID).admission == b"", "The device has it now."
        async with connect(guest, DEVICE_ID):
            pass
        kid = kid_of(guest.app_keys().card("").channel)
        assert world.device.find(kid).role == "guest"


async def test_an_admission_by_somebody_else_lets_nobody_in(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world:
        guest = world.other_app("guest")
        known = world.store.devices.find(DEVICE_ID)
        own = admit_guest(
            known,
            guest.app_keys(),
            guest.app_keys().card("guest"),
            os.urandom(16),
            expires_at=int(time.time()) + 60,
            scope=(Permission("/value", GET),),
        )
        guest.devices.keep(KnownDevice.of_card(known.card(own)))
        with pytest.raises(AuthenticationFailed):
            async with connect(guest, DEVICE_ID):
                pass
