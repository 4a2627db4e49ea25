"""Offline tokens at a device: what opens a channel, what ends one, and what a power cut leaves."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import cbor2
import pytest

from admittance.device.access.offline import OfflineTokens
from admittance.device.clock import TrustedClock
from admittance.device.keys import load_private_key
from admittance.device.state import StateFile
from admittance.errors import Expired, Refused, SequenceReplayed, SignatureInvalid, WrongNonce
from admittance.protocol.access.authz_info import PossessionKey
from admittance.protocol.signing import spki_of
from admittance.wire.access import AUTHZ_INFO_PATH
from admittance.wire.ace import AuthzInfo, RequestHints
from admittance.wire.channel import GET, PUT, Permission
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, encode_uint, path_options
from admittance.wire.cwt import OfflineStanding
from admittance.wire.offline import EPOCH_LIST_PATH
from admittance.wire.relay import CloseReason
from tests.offline_tokens import Issuer
from tests.unit.device.channel.apps import DEVICE, EPOCH, NOW, ORIGIN, App, House

LEVEL_2 = cbor2.dumps({"level": 2})


@dataclass
class Ward:
    """A device that never meets its server, and the server."""

    house: House
    issuer: Issuer

    @classmethod
    def make(cls, folder: Path, *apps: App, trusted: bool = True) -> "Ward":
        house = House(folder, *apps)
        if trusted:
            house.clock.set_server_time(NOW)
        access = load_private_key(house.memory.record.keys.access)
        scope = (Permission("/lamp", GET | PUT),)
        issuer = Issuer(ORIGIN, DEVICE, spki_of(access.public_key()), EPOCH, scope, house.token_key)
        return cls(house, issuer)

    def token(self, **changes: object) -> PossessionKey:
        return self.issuer.token(NOW, **changes)

    def with_nonce(self, exi_s: int = 600, **changes: object) -> PossessionKey:
        return self.token(cnonce=self.house.offline.nonce(), exi_s=exi_s, **changes)

    async def hints(self, *, over: bytes = b"") -> CoapMessage:
        """What the device answers to who has opened nothing."""
        stranger = await self.house.call(App("stranger"))
        assert stranger.conversation is not None
        asked: list[CoapMessage] = []
        stranger.conversation._carrier.send = asked.append
        request = CoapMessage(codes.GET, b"t", path_options("/lamp"))
        if over:
            options = (*path_options(AUTHZ_INFO_PATH), (CONTENT_FORMAT, encode_uint(formats.ACE_CBOR)))
            request = CoapMessage(codes.POST, b"t", options, AuthzInfo(over, os.urandom(8), b"\x01").encode())
        stranger.conversation.receive(request)
        return asked[-1]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward.make(tmp_path)


async def test_a_token_opens_the_device_as_far_as_its_scope_goes(ward: Ward) -> None:
    line = await ward.house.call(ward.token(scope=(Permission("/lamp", GET),)))
    assert line.is_open
    assert cbor2.loads((await line.answer(codes.GET, "/lamp")).payload) == {"level": 1}
    assert (await line.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.FORBIDDEN
    assert (await line.answer(codes.GET, "/credentials")).code == codes.FORBIDDEN
    assert (await line.answer(codes.PUT, AUTHZ_INFO_PATH)).code == codes.FORBIDDEN


async def test_the_same_token_opens_again_and_again(ward: Ward) -> None:
    key = ward.token()
    first = await ward.house.call(key)
    second = await ward.house.call(key)
    assert second.is_open
    assert first.closed is CloseReason.SUPERSEDED
    assert (await second.answer(codes.PUT, "/lamp", LEVEL_2)).code == codes.CHANGED


async def test_a_token_without_its_key_opens_nothing(ward: Ward) -> None:
    assert not (await ward.house.call(PossessionKey(ward.token().token, bytes(32)))).is_open


async def test_a_token_of_another_device_is_forbidden_and_others_are_unauthorized(ward: Ward) -> None:
    elsewhere = ward.token(audience=f"{ORIGIN}/d/ADAAAAAAAAAAAAAAAAAAAA")
    assert (await ward.hints(over=elsewhere.token)).code == codes.FORBIDDEN
    earlier = ward.token(standing=OfflineStanding(EPOCH - 1, 9, os.urandom(16)))
    assert (await ward.hints(over=earlier.token)).code == codes.UNAUTHORIZED
    assert ward.house.causes == ["wrong_device", "wrong_epoch"]


async def test_a_request_after_the_end_is_refused_and_told_why(ward: Ward) -> None:
    line = await ward.house.call(ward.token(expires_at=NOW + 60))
    ward.house.clock.set_server_time(NOW + 61)
    answer = await line.answer(codes.GET, "/lamp")
    assert (answer.code, b"ended" in answer.payload) == (codes.FORBIDDEN, True)


async def test_without_a_clock_a_token_needs_the_nonce_that_the_device_gives(tmp_path: Path) -> None:
    ward = Ward.make(tmp_path, trusted=False)
    refused = await ward.hints(over=ward.token().token)
    assert refused.code == codes.UNAUTHORIZED
    hints = RequestHints.decode(refused.payload)
    assert (hints.audience, len(hints.cnonce)) == (f"{ORIGIN}/d/{DEVICE}", 16)
    line = await ward.house.call(ward.token(cnonce=hints.cnonce, exi_s=600))
    assert (await line.answer(codes.GET, "/lamp")).code == codes.CONTENT


async def test_with_a_clock_no_nonce_is_given(ward: Ward) -> None:
    assert RequestHints.decode((await ward.hints()).payload).cnonce == b""


async def test_exi_counts_from_when_the_token_came_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward.make(tmp_path, trusted=False)
    key = ward.with_nonce(exi_s=600)
    assert (await ward.house.call(key)).is_open
    passed = time.monotonic()
    monkeypatch.setattr(ward.house.clock, "_monotonic", lambda: passed + 599)
    assert ward.house.offline.accept(key.token)
    monkeypatch.setattr(ward.house.clock, "_monotonic", lambda: passed + 601)
    with pytest.raises(Expired):
        ward.house.offline.accept(key.token)


async def test_a_power_cut_ends_what_was_counted_and_every_nonce(tmp_path: Path) -> None:
    ward = Ward.make(tmp_path, trusted=False)
    key = ward.with_nonce()
    ward.house.offline.accept(key.token)
    again = restarted(ward, tmp_path)
    with pytest.raises(WrongNonce):
        again.accept(key.token)
    assert ward.house.memory.record.offline.seen == ward.issuer.sequence


async def test_the_time_that_a_token_tells_is_a_floor(tmp_path: Path) -> None:
    ward = Ward.make(tmp_path, trusted=False)
    later = NOW + 30 * 86_400
    ward.house.offline.accept(ward.issuer.token(later, cnonce=ward.house.offline.nonce(), exi_s=600).token)
    assert ward.house.memory.record.time_floor >= later
    with pytest.raises(Expired):
        ward.house.offline.accept(ward.with_nonce().token)


async def test_an_epoch_list_ends_older_tokens_and_their_channels(tmp_path: Path) -> None:
    owner = App("phone")
    ward = Ward.make(tmp_path, owner)
    old, new = ward.token(), ward.token()
    lines = [await ward.house.call(key) for key in (old, new)]
    brought = ward.issuer.epoch_list(ward.issuer.sequence)
    assert (await lines[1].answer(codes.POST, EPOCH_LIST_PATH, brought)).code == codes.CHANGED
    assert lines[0].closed is CloseReason.REVOKED
    assert lines[1].closed is None
    assert not (await ward.house.call(old)).is_open
    assert (await ward.house.call(new)).is_open
    with pytest.raises(SequenceReplayed):
        restarted(ward, tmp_path).accept(old.token)


async def test_an_older_epoch_list_changes_nothing(ward: Ward) -> None:
    ward.house.offline.take_list(ward.issuer.epoch_list(10))
    ward.house.offline.take_list(ward.issuer.epoch_list(4))
    assert ward.house.memory.record.offline.lowest_sequence == 10


async def test_an_epoch_list_ends_the_owner(tmp_path: Path) -> None:
    owner = App("phone")
    ward = Ward.make(tmp_path, owner)
    line, guest = await ward.house.call(owner), await ward.house.call(ward.token())
    brought = ward.issuer.epoch_list(0, epoch=EPOCH + 1)
    assert (await guest.answer(codes.POST, EPOCH_LIST_PATH, brought)).code in (codes.CHANGED, codes.FORBIDDEN)
    assert (line.closed, guest.closed) == (CloseReason.REVOKED, CloseReason.REVOKED)
    assert not (await ward.house.call(owner)).is_open
    assert not (await ward.house.call(ward.token())).is_open


async def test_only_the_server_signs_epoch_lists(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ward, other = Ward.make(tmp_path), Ward.make(tmp_path / "other")
    with pytest.raises(SignatureInvalid):
        ward.house.offline.take_list(other.issuer.epoch_list(5))
    assert ward.house.memory.record.offline.lowest_sequence == 0


async def test_bringing_an_epoch_list_is_no_use(tmp_path: Path) -> None:
    guest = App("guest", "guest", (Permission("/lamp", GET),))
    ward = Ward.make(tmp_path, guest)
    line = await ward.house.call(guest)
    assert (await line.answer(codes.POST, EPOCH_LIST_PATH, ward.issuer.epoch_list(3))).code == codes.CHANGED
    assert "access_used" not in ward.house.logged


async def test_a_device_without_token_keys_takes_no_tokens(ward: Ward) -> None:
    server = ward.house.memory.record.server
    assert server is not None
    ward.house.memory.change(server=None)
    with pytest.raises(SignatureInvalid):
        ward.house.offline.accept(ward.token().token)


async def test_a_full_table_makes_room_for_those_that_hold(ward: Ward) -> None:
    for _ in range(31):
        ward.house.offline.accept(ward.token(expires_at=NOW + 60).token)
    last = ward.token()
    ward.house.offline.accept(last.token)
    with pytest.raises(Refused):
        ward.house.offline.accept(ward.token().token)
    ward.house.clock.set_server_time(NOW + 61)
    ward.house.offline.accept(ward.token().token)
    assert (await ward.house.call(last)).is_open


def restarted(ward: Ward, folder: Path) -> OfflineTokens:
    """The device's tokens after a power cut."""
    record = StateFile(folder).load()
    assert record is not None
    assert record.offline == ward.house.memory.record.offline
    clock = TrustedClock(time.monotonic, record.time_floor)
    return OfflineTokens(ORIGIN, DEVICE, ward.house.memory, clock, os.urandom, ward.house.log)
