"""Whom a device talks to, about what, and when it stops."""

import asyncio
import gc
import weakref
from pathlib import Path

import cbor2
import pytest

from admittance.device.channel.conversations import MAX_CONVERSATIONS
from admittance.errors import ChannelLost, Unavailable
from admittance.protocol.channel.admission import sign_admission
from admittance.wire import message
from admittance.wire.channel import GET, Admission, Permission
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from admittance.wire.readings import Consent, EndedNotice
from admittance.wire.relay import CloseReason
from tests.unit.device.channel.apps import DEVICE, EPOCH, NOW, App, House, Line, server

LEVEL_2 = cbor2.dumps({"level": 2})


@pytest.fixture
def owner() -> App:
    return App("phone")


async def test_an_owner_reads_and_sets_a_resource(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    line = await house.call(owner)
    assert line.is_open
    assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.CHANGED
    assert cbor2.loads((await line.answer(codes.GET, "/lamp")).payload) == {"level": 2}


async def test_a_stranger_gets_no_channel(tmp_path: Path, owner: App) -> None:
    line = await House(tmp_path, owner).call(App("stranger"))
    assert not line.is_open


async def test_the_server_on_an_apps_stream_is_a_stranger_and_so_is_an_app_on_the_servers(
    tmp_path: Path, owner: App
) -> None:
    provider = server()
    house = House(tmp_path, owner, provider)
    line = Line(house, provider)
    line.conversation = house.conversations.with_app(line, "app")
    await line.settle()
    assert not line.is_open
    line = Line(house, owner)
    line.conversation = house.conversations.with_server(line)
    await line.settle()
    assert not line.is_open


@pytest.mark.parametrize(
    ("code", "path", "payload", "answer"),
    [
        (codes.GET, "/absent", b"", codes.NOT_FOUND),
        (codes.POST, "/lamp", b"", codes.METHOD_NOT_ALLOWED),
        (codes.PATCH, "/lamp", b"", codes.METHOD_NOT_ALLOWED),
        (codes.PUT, "/lamp", b"\xff", codes.BAD_REQUEST),
        (codes.PUT, "/lamp", b"\x81" * 2000, codes.BAD_REQUEST),
        (codes.PUT, "/lamp", cbor2.dumps({"other": 1}), codes.BAD_REQUEST),
        (codes.GET, "/broken", b"", codes.INTERNAL),
        (codes.POST, "/server/ended", message.encode(EndedNotice(EPOCH)), codes.FORBIDDEN),
        (codes.DELETE, "/credentials/00", b"", codes.BAD_REQUEST),
        (codes.DELETE, "/credentials/0011223344556677", b"", codes.NOT_FOUND),
        (codes.POST, "/credentials", b"nothing", codes.BAD_REQUEST),
    ],
)
async def test_what_cannot_be_is_refused_by_its_code(
    tmp_path: Path, owner: App, code: int, path: str, payload: bytes, answer: int
) -> None:
    line = await House(tmp_path, owner).call(owner)
    assert (await line.answer(code, path, payload)).code == answer


async def test_a_guest_sees_and_does_what_its_scope_has(tmp_path: Path, owner: App) -> None:
    guest = App("guest", "guest", (Permission("/lamp", GET),))
    line = await House(tmp_path, owner, guest).call(guest)
    assert (await line.answer(codes.GET, "/lamp")).code == codes.CONTENT
    assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.FORBIDDEN
    assert (await line.answer(codes.GET, "/credentials")).code == codes.FORBIDDEN
    links = await line.answer(codes.GET, "/.well-known/core")
    assert links.payload == b'</epoch-list>,</lamp>;title="lamp";obs'


async def test_an_observer_is_told_the_state_now_and_after_each_change(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    line = await house.call(owner)
    handle = line.ask(codes.GET, "/lamp", observe=True)
    await line.settle()
    for level in (2, 3):
        house.level = level
        house.conversations.changed("/lamp")
        await line.settle()
    assert [cbor2.loads(answer.payload)["level"] for answer in line.answers[handle]] == [1, 2, 3]
    line.channel.cancel(handle)
    await line.settle()
    house.conversations.changed("/lamp")
    await line.settle()
    assert len(line.answers[handle]) == 3


async def test_changes_while_a_state_is_made_ready_become_one_notification(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    line = await house.call(owner)
    handle = line.ask(codes.GET, "/lamp", observe=True)
    await line.settle()
    house.release.clear()
    for level in (2, 3, 4):
        house.level = level
        house.conversations.changed("/lamp")
        await line.settle()
    house.release.set()
    await line.settle()
    levels = [cbor2.loads(answer.payload)["level"] for answer in line.answers[handle]]
    assert levels[0] == 1
    assert set(levels[1:]) == {4}


async def test_a_credential_that_is_removed_loses_its_channels_at_once(tmp_path: Path, owner: App) -> None:
    phone, tablet = owner, App("tablet")
    house = House(tmp_path, phone, tablet)
    ours, theirs = await house.call(phone), await house.call(tablet)
    waiting = theirs.ask(codes.GET, "/lamp")
    house.release.clear()
    await theirs.settle()
    assert (await ours.answer(codes.DELETE, f"/credentials/{tablet.kid.hex()}")).code == codes.DELETED
    await theirs.settle()
    assert theirs.closed is CloseReason.REVOKED
    assert waiting in theirs.failed
    assert not (await house.call(tablet)).is_open
    assert ours.is_open


async def test_who_removes_itself_is_answered_and_then_gone(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner, App("tablet"))
    line = await house.call(owner)
    assert (await line.answer(codes.DELETE, f"/credentials/{owner.kid.hex()}")).code == codes.DELETED
    assert line.closed is CloseReason.REVOKED


async def test_the_last_owner_cannot_be_removed(tmp_path: Path, owner: App) -> None:
    line = await House(tmp_path, owner).call(owner)
    assert (await line.answer(codes.DELETE, f"/credentials/{owner.kid.hex()}")).code == codes.CONFLICT


async def test_a_credential_that_an_owner_adds_may_talk_after_a_restart_too(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    tablet = App("tablet")
    line = await house.call(owner)
    assert (await line.answer(codes.POST, "/credentials", message.encode(tablet.entry()))).code == codes.CREATED
    assert (await house.call(tablet)).is_open
    listed = cbor2.loads((await line.answer(codes.GET, "/credentials")).payload)
    assert listed == [[owner.kid, "owner", "phone", 0], [tablet.kid, "owner", "tablet", 0]]
    assert house.memory.record.credentials.find(tablet.kid, epoch=EPOCH, now=NOW).name == "tablet"


async def test_an_admission_lets_a_guest_in_and_another_devices_does_not(tmp_path: Path, owner: App) -> None:
    guest = App("guest", "guest", (Permission("/lamp", GET),))
    house = House(tmp_path, owner)
    for device, is_open in (("ADAAAAAAAAAAAAAAAAAAAA", False), (DEVICE, True)):
        admission = Admission(device, bytes(16), guest.entry(), NOW)
        line = await house.call(guest, sign_admission(admission, owner.signing, owner.kid))
        assert line.is_open is is_open


async def test_the_server_ends_an_epoch_and_with_it_every_channel(tmp_path: Path, owner: App) -> None:
    provider = server()
    house = House(tmp_path, owner, provider)
    app, line = await house.call(owner), await house.call(provider)
    assert (await line.answer(codes.GET, "/lamp")).code == codes.FORBIDDEN
    assert (await line.answer(codes.POST, "/server/ended", message.encode(EndedNotice(EPOCH)))).code == codes.CHANGED
    assert house.memory.record.credentials.entries == ()
    assert (app.closed, line.closed) == (CloseReason.REVOKED, CloseReason.REVOKED)


async def test_consent_is_the_owners_to_give(tmp_path: Path, owner: App) -> None:
    guest = App("guest", "guest", (Permission("/consent", GET),))
    house = House(tmp_path, owner, guest)
    line = await house.call(owner)
    consent = message.encode(Consent(["temperature"]))
    assert (await line.answer(codes.PUT, "/consent", consent)).code == codes.CHANGED
    assert (await line.answer(codes.GET, "/consent")).payload == consent
    assert house.memory.record.consent == ("temperature",)
    assert (await (await house.call(guest)).answer(codes.GET, "/consent")).code == codes.FORBIDDEN


async def test_an_owner_opens_the_access_point_and_reads_who_the_device_is(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    line = await house.call(owner)
    assert (await line.answer(codes.POST, "/provisioning")).code == codes.CHANGED
    assert house.openings == 1
    info = cbor2.loads((await line.answer(codes.GET, "/info")).payload)
    assert (info["device_id"], info["model"], info["epoch"]) == (DEVICE, "lamp-1", EPOCH)


async def test_the_server_is_asked_once_it_opened_its_channel(tmp_path: Path, owner: App) -> None:
    provider = server()
    house = House(tmp_path, owner, provider)
    question = CoapMessage(codes.GET, options=path_options("/time"))
    asking = asyncio.create_task(house.conversations.ask_server(question))
    line = await house.call(provider)
    await line.settle()
    assert (await asking).code == codes.CHANGED
    assert line.served[0].path == "/time"


async def test_a_request_to_a_server_that_is_lost_fails(tmp_path: Path, owner: App) -> None:
    provider = server()
    house = House(tmp_path, owner, provider)
    line = await house.call(provider)
    asking = asyncio.create_task(house.conversations.ask_server(CoapMessage(codes.GET)))
    await asyncio.sleep(0)
    assert line.conversation is not None
    line.conversation.lost()
    with pytest.raises(ChannelLost):
        await asking


async def test_a_server_that_opens_nothing_is_unavailable(
    tmp_path: Path, owner: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admittance.device.channel.conversations.ASK_TIMEOUT_S", 0.01)
    with pytest.raises(Unavailable):
        await House(tmp_path, owner).conversations.ask_server(CoapMessage(codes.GET))


async def test_who_proves_nothing_in_time_is_hung_up_on(
    tmp_path: Path, owner: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admittance.device.channel.conversation.HANDSHAKE_S", 0.01)
    house = House(tmp_path, owner)
    line = Line(house, owner)
    line.conversation = house.conversations.with_app(line, "app")
    await asyncio.sleep(0.05)
    assert line.closed is CloseReason.IDLE


async def test_nothing_is_kept_of_a_stranger_who_has_gone(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    line = await house.call(App("stranger"))
    assert line.conversation is not None
    gone = weakref.ref(line.conversation)
    line.conversation.lost()
    del line
    gc.collect()
    assert gone() is None


async def test_strangers_give_way_to_each_other_and_to_apps(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    proven = await house.call(owner)
    strangers = [Line(house, App("stranger")) for _ in range(MAX_CONVERSATIONS)]
    for line in strangers:
        assert house.conversations.with_app(line, id(line)) is not None
    assert len(house.conversations) == MAX_CONVERSATIONS
    assert [line.closed for line in strangers] == [CloseReason.QUOTA] + [None] * (MAX_CONVERSATIONS - 1)
    assert (await house.call(owner)).is_open
    assert proven.is_open


async def test_proven_conversations_are_bounded(tmp_path: Path, owner: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.device.channel.conversations.MAX_CONVERSATIONS", 2)
    house = House(tmp_path, owner)
    assert [(await house.call(owner)).is_open for _ in range(2)] == [True, True]
    assert house.conversations.with_app(Line(house, owner), "third") is None
    house.conversations.end_all()
    assert len(house.conversations) == 0
