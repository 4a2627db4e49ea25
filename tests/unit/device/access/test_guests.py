"""Guests with possession keys at a device: from the server's push to the refusal of what is over."""

import os
from dataclasses import dataclass
from pathlib import Path

import cbor2
import pytest

from admittance.protocol.access.authz_info import PossessionKey
from admittance.protocol.access.granted import GrantedAccess
from admittance.wire import message
from admittance.wire.access import AUTHZ_INFO_PATH, PUSH_PATH, AccessPush, AccessState, GrantedKey, GrantUse
from admittance.wire.ace import AuthzInfo, RequestHints
from admittance.wire.channel import GET, PUT, Permission
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, encode_uint, path_options
from admittance.wire.readings import EndedNotice
from admittance.wire.relay import CloseReason
from tests.unit.device.channel.apps import DEVICE, EPOCH, NOW, App, House, Line, server

LEVEL_2 = cbor2.dumps({"level": 2})
TURN = Permission("/lamp", GET | PUT)


def granted(uses: int = 0, *scope: Permission, grant: bytes | None = None, begins: int = -60, ends: int = 60):
    return GrantedKey(
        os.urandom(16),
        os.urandom(32),
        grant or os.urandom(16),
        "guest",
        scope or (TURN,),
        NOW + begins,
        NOW + ends,
        uses,
    )


def held(key: GrantedKey) -> PossessionKey:
    return PossessionKey(key.token, key.master_secret)


@dataclass
class Granting:
    """A device with its server's conversation."""

    house: House
    server: Line
    sequence: int = 0

    @classmethod
    async def open(cls, folder: Path, *apps: App, trusted: bool = True) -> "Granting":
        provider = server()
        house = House(folder, *apps, provider)
        if trusted:
            house.clock.set_server_time(NOW)
        return cls(house, await house.call(provider))

    async def push(self, *keys: GrantedKey, ended: tuple[bytes, ...] = (), base: int | None = None) -> CoapMessage:
        base = self.sequence if base is None else base
        pushed = AccessPush(EPOCH, base, self.sequence + 1, keys, ended)
        answer = await self.server.answer(codes.POST, PUSH_PATH, message.encode(pushed))
        if answer.code == codes.CHANGED:
            self.sequence += 1
        return answer

    async def state(self) -> AccessState:
        answer = await self.server.answer(codes.GET, PUSH_PATH)
        return message.decode(answer.payload, AccessState)


@pytest.fixture
async def granting(tmp_path: Path) -> Granting:
    return await Granting.open(tmp_path)


async def test_a_pushed_key_opens_the_device_as_far_as_its_scope_goes(granting: Granting) -> None:
    key = granted(0, Permission("/lamp", GET))
    assert (await granting.push(key)).code == codes.CHANGED
    line = await granting.house.call(held(key))
    assert line.is_open
    assert cbor2.loads((await line.answer(codes.GET, "/lamp")).payload) == {"level": 1}
    assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.FORBIDDEN
    assert (await line.answer(codes.GET, "/credentials")).code == codes.FORBIDDEN
    assert (await line.answer(codes.GET, PUSH_PATH)).code == codes.FORBIDDEN
    assert b"lamp" in (await line.answer(codes.GET, "/.well-known/core")).payload


async def test_a_token_without_its_key_opens_nothing(granting: Granting) -> None:
    key = granted()
    await granting.push(key)
    for wrong in (PossessionKey(key.token, bytes(32)), PossessionKey(bytes(16), key.master_secret)):
        assert not (await granting.house.call(wrong)).is_open


async def test_a_single_use_is_good_once_and_its_key_is_forgotten(granting: Granting) -> None:
    key = granted(1)
    await granting.push(key)
    line = await granting.house.call(held(key))
    for _ in range(2):
        assert (await line.answer(codes.GET, "/lamp")).code == codes.CONTENT
    assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.CHANGED
    refused = await line.answer(codes.PUT, "/lamp", cbor2.dumps({"level": 3}))
    assert (refused.code, b"as often as" in refused.payload) == (codes.FORBIDDEN, True)
    assert granting.house.level == 2
    assert granting.house.causes == ["uses_spent"]
    assert granting.house.memory.record.access.keys == ()
    assert not (await granting.house.call(held(key))).is_open
    assert (await granting.state()).used == (GrantUse(key.grant, 1),)


async def test_uses_are_counted_over_all_keys_of_a_grant_and_outlive_them(granting: Granting) -> None:
    first = granted(2)
    second = granted(2, grant=first.grant)
    await granting.push(first, second)
    for key in (first, second):
        line = await granting.house.call(held(key))
        assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.CHANGED
    third = granted(2, grant=first.grant)
    await granting.push(third, base=0)
    assert not (await granting.house.call(held(third))).is_open


async def test_what_fails_in_the_application_is_a_use_and_what_never_gets_there_is_none(granting: Granting) -> None:
    key = granted(2)
    await granting.push(key)
    line = await granting.house.call(held(key))
    for code, path in ((codes.POST, "/lamp"), (codes.PUT, "/absent"), (codes.DELETE, "/lamp")):
        await line.answer(code, path)
    assert (await granting.state()).used == ()
    assert (await line.answer(codes.PUT, "/lamp", b"\xff")).code == codes.BAD_REQUEST
    assert (await granting.state()).used == (GrantUse(key.grant, 1),)


@pytest.mark.parametrize(("begins", "ends", "says"), [(30, 60, b"not hold yet"), (-60, -30, b"has ended")])
async def test_outside_its_window_a_key_opens_nothing_and_its_holder_is_told(
    granting: Granting, begins: int, ends: int, says: bytes
) -> None:
    key = granted(begins=begins, ends=ends)
    await granting.push(key)
    line = await granting.house.call(held(key))
    for code in (codes.GET, codes.PUT):
        refused = await line.answer(code, "/lamp", LEVEL_2)
        assert (refused.code, says in refused.payload) == (codes.FORBIDDEN, True)
    assert granting.house.level == 1
    assert set(granting.house.causes) == {"outside_window"}


async def test_without_trusted_time_nothing_is_allowed(tmp_path: Path) -> None:
    granting = await Granting.open(tmp_path, trusted=False)
    key = granted()
    await granting.push(key)
    line = await granting.house.call(held(key))
    assert (await line.answer(codes.GET, "/lamp")).code == codes.UNAVAILABLE
    granting.house.clock.set_server_time(NOW)
    assert (await line.answer(codes.GET, "/lamp")).code == codes.CONTENT


async def test_an_ended_key_ends_its_conversations_at_once(granting: Granting) -> None:
    by_token, by_grant, other = granted(), granted(), granted()
    await granting.push(by_token, by_grant, other)
    lines = [await granting.house.call(held(key)) for key in (by_token, by_grant, other)]
    await granting.push(ended=(by_token.token, by_grant.grant))
    assert [line.closed for line in lines] == [CloseReason.REVOKED, CloseReason.REVOKED, None]
    assert not (await granting.house.call(held(by_token))).is_open


async def test_a_key_has_one_conversation_which_the_token_alone_does_not_end(granting: Granting) -> None:
    key = granted()
    await granting.push(key)
    first = await granting.house.call(held(key))
    await granting.house.call(PossessionKey(key.token, bytes(32)))
    assert first.closed is None
    second = await granting.house.call(held(key))
    assert (first.closed, second.is_open) == (CloseReason.SUPERSEDED, True)


async def test_a_push_of_another_epoch_or_on_another_base_is_refused(granting: Granting) -> None:
    await granting.push(granted())
    assert (await granting.push(granted(), base=7)).code == codes.CONFLICT
    other = AccessPush(EPOCH + 1, 0, 9, (granted(),), ())
    assert (await granting.server.answer(codes.POST, PUSH_PATH, message.encode(other))).code == codes.FORBIDDEN
    assert (await granting.state()).sequence == 1


async def test_an_owner_and_a_guest_push_nothing(tmp_path: Path) -> None:
    owner = App("phone")
    granting = await Granting.open(tmp_path, owner)
    key = granted()
    await granting.push(key)
    pushed = message.encode(AccessPush(EPOCH, 0, 9, (granted(),), ()))
    for line in (await granting.house.call(owner), await granting.house.call(held(key))):
        assert (await line.answer(codes.POST, PUSH_PATH, pushed)).code == codes.FORBIDDEN


async def test_the_end_of_an_epoch_ends_all_keys(granting: Granting) -> None:
    key = granted()
    await granting.push(key)
    line = await granting.house.call(held(key))
    await granting.server.answer(codes.POST, "/server/ended", message.encode(EndedNotice(EPOCH)))
    assert line.closed == CloseReason.REVOKED
    assert granting.house.memory.record.access == GrantedAccess()


async def test_who_asks_without_any_key_is_told_where_to_have_one_once_a_second(granting: Granting) -> None:
    line = Line(granting.house, App("stranger"))
    conversation = granting.house.conversations.with_app(line, "stranger")
    assert conversation is not None
    told: list[CoapMessage] = []
    line.send = told.append  # type: ignore[method-assign]
    for _ in range(2):
        conversation.receive(CoapMessage(codes.GET, b"\x01", path_options("/lamp")))
    assert [answer.code for answer in told] == [codes.UNAUTHORIZED] * 2
    assert RequestHints.decode(told[0].payload) == RequestHints(
        "https://localhost/ace/token", f"https://localhost/d/{DEVICE}"
    )
    assert told[1].payload == b""


async def test_what_is_no_token_request_is_refused_by_its_code(granting: Granting) -> None:
    line = Line(granting.house, App("stranger"))
    conversation = granting.house.conversations.with_app(line, "stranger")
    assert conversation is not None
    told: list[int] = []
    line.send = lambda answer: told.append(answer.code)  # type: ignore[method-assign]
    ace = (CONTENT_FORMAT, encode_uint(formats.ACE_CBOR))
    good = AuthzInfo(bytes(16), bytes(8), b"\x01").encode()
    for options, payload in (((), good), ((ace,), b"\xff"), ((ace,), AuthzInfo(bytes(16)).encode()), ((ace,), good)):
        options = (*path_options(AUTHZ_INFO_PATH), *options)
        conversation.receive(CoapMessage(codes.POST, b"\x01", options, payload))
    assert told == [codes.UNSUPPORTED_FORMAT, codes.BAD_REQUEST, codes.BAD_REQUEST, codes.UNAUTHORIZED]
