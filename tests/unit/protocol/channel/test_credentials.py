"""Who may change a device's list of credentials."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import (
    AdmittanceError,
    AlreadyUsed,
    Conflict,
    Expired,
    KeyRefused,
    Malformed,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    SignatureInvalid,
    WrongDevice,
    WrongEpoch,
)
from admittance.protocol.channel.admission import sign_admission
from admittance.protocol.channel.credentials import MAX_ENTRIES, MAX_GUESTS, MAX_TOMBSTONES, CredentialList
from admittance.protocol.signing import SoftwareSigner, sign1, spki_of
from admittance.wire import cbor, message
from admittance.wire.channel import GET, PUT, Admission, Entry, Permission, Role, kid_of

EPOCH, NOW, DEVICE = 3, 1_800_000_000, "ADABCDEFGHIJKLMNOPQRST"
LOCK = (Permission("/lock", GET | PUT),)


def new_spki() -> bytes:
    return spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())


KEYS = [new_spki() for _ in range(60)]
SIGNER = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
OTHER_SIGNER = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))


def entry(
    key: int, role: Role = "guest", *, epoch: int = EPOCH, expires_at: int = 0, signing: bytes = b"", name: str = "x"
) -> Entry:
    scope = LOCK if role in ("guest", "server") else ()
    return Entry(KEYS[key], signing, role, epoch, name, expires_at, scope)


OWNER = entry(0, "owner", signing=SIGNER.spki)


def listing(*entries: Entry) -> CredentialList:
    listed = CredentialList(EPOCH)
    for each in entries or (OWNER,):
        listed = listed.add(each, now=NOW)
    return listed


def kids(listed: CredentialList) -> set[bytes]:
    return {each.kid for each in listed.entries}


class TestFinding:
    def test_a_listed_credential_is_found(self) -> None:
        assert listing().find(OWNER.kid, epoch=EPOCH, now=NOW) == OWNER

    def test_another_is_not(self) -> None:
        with pytest.raises(NotFound):
            listing().find(bytes(8), epoch=EPOCH, now=NOW)

    def test_nor_one_of_another_epoch(self) -> None:
        with pytest.raises(WrongEpoch):
            listing().find(OWNER.kid, epoch=EPOCH + 1, now=NOW)

    def test_a_guest_is_found_until_the_second_it_expires(self) -> None:
        listed = listing(OWNER, entry(1, expires_at=NOW + 10))
        listed.find(kid_of(KEYS[1]), epoch=EPOCH, now=NOW + 9)
        with pytest.raises(Expired):
            listed.find(kid_of(KEYS[1]), epoch=EPOCH, now=NOW + 10)


class TestAdding:
    @pytest.mark.parametrize("role", ["owner", "guest", "recovery"])
    def test_an_owner_adds(self, role: Role) -> None:
        assert entry(1, role) in listing().add(entry(1, role), by=OWNER, now=NOW).entries

    @pytest.mark.parametrize(
        ("by", "role"),
        [
            ("owner", "server"),
            ("recovery", "server"),
            ("recovery", "guest"),
            ("recovery", "recovery"),
            ("guest", "guest"),
            ("guest", "owner"),
            ("server", "owner"),
            ("server", "guest"),
            ("server", "server"),
        ],
    )
    def test_nobody_adds_beyond_its_role(self, by: Role, role: Role) -> None:
        with pytest.raises(NotAllowed):
            listing().add(entry(1, role), by=entry(2, by), now=NOW)

    def test_a_recovery_key_adds_an_owner(self) -> None:
        assert entry(1, "owner") in listing().add(entry(1, "owner"), by=entry(2, "recovery"), now=NOW).entries

    def test_the_device_itself_lists_the_server_and_has_one(self) -> None:
        listed = listing(OWNER, entry(1, "server"), entry(2, "server"))
        assert [each.kid for each in listed.entries] == [OWNER.kid, kid_of(KEYS[2])]

    @pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
    def test_entries_are_of_the_lists_epoch(self, epoch: int) -> None:
        with pytest.raises(WrongEpoch):
            listing().add(entry(1, epoch=epoch), by=OWNER, now=NOW)

    def test_an_expired_entry_is_refused(self) -> None:
        with pytest.raises(Expired):
            listing().add(entry(1, expires_at=NOW), by=OWNER, now=NOW)

    @pytest.mark.parametrize("role", ["owner", "recovery", "server"])
    def test_only_guests_expire(self, role: Role) -> None:
        with pytest.raises(NotAllowed):
            listing().add(entry(1, role, expires_at=NOW + 9), now=NOW)

    @pytest.mark.parametrize("role", ["guest", "server"])
    def test_guests_and_the_server_need_a_scope(self, role: Role) -> None:
        with pytest.raises(NotAllowed):
            listing().add(msgspec.structs.replace(entry(1, role), scope=()), now=NOW)

    @pytest.mark.parametrize("role", ["owner", "recovery"])
    def test_the_scope_of_others_is_fixed(self, role: Role) -> None:
        with pytest.raises(NotAllowed):
            listing().add(msgspec.structs.replace(entry(1, role), scope=LOCK), now=NOW)

    @pytest.mark.parametrize("role", ["guest", "recovery", "server"])
    def test_only_owners_countersign(self, role: Role) -> None:
        with pytest.raises(NotAllowed):
            listing().add(entry(1, role, signing=SIGNER.spki), now=NOW)

    def test_keys_are_on_p256(self) -> None:
        weak = spki_of(ed25519.Ed25519PrivateKey.generate().public_key())
        for bad in (
            msgspec.structs.replace(entry(1), spki=weak),
            msgspec.structs.replace(entry(1, "owner"), signing=weak),
        ):
            with pytest.raises(KeyRefused):
                listing().add(bad, by=OWNER, now=NOW)
        with pytest.raises(Malformed):
            listing().add(msgspec.structs.replace(entry(1), spki=b"no key"), by=OWNER, now=NOW)

    def test_an_entry_is_replaced_by_one_of_its_role(self) -> None:
        listed = listing(OWNER, entry(1, name="old")).add(entry(1, name="new"), by=OWNER, now=NOW)
        assert [each.name for each in listed.entries] == ["x", "new"]

    @pytest.mark.parametrize(("old", "new"), [("owner", "guest"), ("guest", "owner"), ("server", "owner")])
    def test_a_role_is_not_changed_in_place(self, old: Role, new: Role) -> None:
        with pytest.raises(Conflict):
            listing(OWNER, entry(1, old)).add(entry(1, new), by=OWNER, now=NOW)

    def test_the_list_is_bounded_and_guests_leave_room(self) -> None:
        listed = listing(OWNER, *(entry(key) for key in range(1, MAX_GUESTS + 1)))
        with pytest.raises(QuotaExceeded):
            listed.add(entry(40), by=OWNER, now=NOW)
        for key in range(20, 20 + MAX_ENTRIES - MAX_GUESTS - 1):
            listed = listed.add(entry(key, "owner"), by=OWNER, now=NOW)
        with pytest.raises(QuotaExceeded):
            listed.add(entry(41, "owner"), by=OWNER, now=NOW)
        assert len(listed.entries) == MAX_ENTRIES

    def test_expired_guests_make_room(self) -> None:
        listed = listing(OWNER, *(entry(key, expires_at=NOW + key) for key in range(1, MAX_GUESTS + 1)))
        listed = listed.add(entry(40), by=OWNER, now=NOW + 1)
        assert kid_of(KEYS[1]) not in kids(listed)
        assert kid_of(KEYS[40]) in kids(listed)

    def test_who_stands_before_the_device_always_finds_room(self) -> None:
        """A full list of a thief's doing does not keep the owner out who has the device in hand."""
        listed = listing(*(entry(key, "owner") for key in range(MAX_ENTRIES)))
        listed = listed.add(entry(40, "owner"), now=NOW + 1)
        assert kid_of(KEYS[40]) in kids(listed)
        assert kid_of(KEYS[0]) not in kids(listed)
        full = listing(
            OWNER,
            entry(30, "server"),
            *(entry(key) for key in range(1, 13)),
            *(entry(key, "recovery") for key in (50, 51)),
        )
        full = full.add(entry(40, "owner"), now=NOW + 1)
        assert kids(listing(OWNER)) <= kids(full)
        assert kid_of(KEYS[1]) not in kids(full)


class TestRemoving:
    @pytest.mark.parametrize("by", ["owner", "recovery"])
    @pytest.mark.parametrize("role", ["owner", "guest", "recovery"])
    def test_owners_and_recovery_keys_remove(self, by: Role, role: Role) -> None:
        listed = listing(OWNER, entry(1, role)).remove(kid_of(KEYS[1]), by=entry(2, by), now=NOW)
        assert kids(listed) == {OWNER.kid}

    @pytest.mark.parametrize("by", ["guest", "server"])
    def test_others_do_not(self, by: Role) -> None:
        with pytest.raises(NotAllowed):
            listing(OWNER, entry(1)).remove(kid_of(KEYS[1]), by=entry(2, by), now=NOW)

    def test_the_server_is_not_removed_over_a_channel(self) -> None:
        with pytest.raises(NotAllowed):
            listing(OWNER, entry(1, "server")).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)

    def test_what_is_not_listed_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            listing().remove(bytes(8), by=OWNER, now=NOW)

    def test_the_last_owner_stays_unless_a_recovery_key_remains(self) -> None:
        with pytest.raises(Conflict):
            listing(OWNER, entry(1), entry(2, "server")).remove(OWNER.kid, by=OWNER, now=NOW)
        listed = listing(OWNER, entry(1, "recovery")).remove(OWNER.kid, by=OWNER, now=NOW)
        with pytest.raises(Conflict):
            listed.remove(kid_of(KEYS[1]), by=entry(1, "recovery"), now=NOW)

    def test_an_owners_channel_lists_a_removed_credential_again(self) -> None:
        listed = listing(OWNER, entry(1)).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)
        assert entry(1) in listed.add(entry(1), by=OWNER, now=NOW).entries


class TestEpochs:
    def test_a_new_epoch_drops_everything(self) -> None:
        listed = listing(OWNER, entry(1)).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)
        assert listed.begin_epoch(EPOCH + 1) == CredentialList(EPOCH + 1)

    def test_the_same_epoch_changes_nothing(self) -> None:
        assert listing().begin_epoch(EPOCH) == listing()

    def test_an_earlier_epoch_never_comes_back(self) -> None:
        with pytest.raises(WrongEpoch):
            listing().begin_epoch(EPOCH - 1)

    def test_an_ended_epoch_drops_what_is_of_it(self) -> None:
        assert listing().end_epoch(EPOCH).entries == ()
        assert listing().end_epoch(EPOCH - 1) == listing()


GUEST = entry(1, expires_at=NOW + 3600)


@dataclass
class Given:
    """The parts of an admission, each of which a test may change."""

    entry: Entry = GUEST
    device_id: str = DEVICE
    serial: bytes = bytes(16)
    issued_at: int = NOW - 10
    signer: SoftwareSigner = SIGNER
    kid: bytes = OWNER.kid

    def data(self) -> bytes:
        admission = Admission(self.device_id, self.serial, self.entry, self.issued_at)
        return sign_admission(admission, self.signer, self.kid)

    def to(self, listed: CredentialList, now: int = NOW) -> CredentialList:
        return listed.admit(self.data(), device_id=DEVICE, now=now)


def bury_others(listed: CredentialList, now: int) -> CredentialList:
    """With as many others removed as tombstones fit."""
    for key in range(10, 10 + MAX_TOMBSTONES):
        listed = listed.add(entry(key), by=OWNER, now=now).remove(kid_of(KEYS[key]), by=OWNER, now=now)
    return listed


class TestAdmission:
    def test_it_lists_its_guest(self) -> None:
        assert Given().entry in Given().to(listing()).entries

    def test_again_it_changes_nothing(self) -> None:
        listed = Given().to(listing())
        assert Given().to(listed) is listed

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (Given(device_id="ADTSRQPONMLKJIHGFEDCBA"), WrongDevice),
            (Given(entry=entry(1, epoch=EPOCH - 1)), WrongEpoch),
            (Given(entry=entry(1, epoch=EPOCH + 1)), WrongEpoch),
            (Given(entry=entry(1, expires_at=NOW)), Expired),
            (Given(signer=OTHER_SIGNER), SignatureInvalid),
            (Given(kid=bytes(8)), NotAllowed),
            (Given(entry=entry(1, "owner")), NotAllowed),
            (Given(entry=entry(1, "server")), NotAllowed),
            (Given(entry=entry(1, "recovery")), NotAllowed),
            (Given(entry=msgspec.structs.replace(entry(1), scope=())), NotAllowed),
            (Given(entry=entry(0)), Conflict),
        ],
    )
    def test_it_is_refused(self, bad: Given, error: type[Exception]) -> None:
        with pytest.raises(error):
            bad.to(listing())

    @pytest.mark.parametrize(
        "signer",
        [entry(2, "owner"), entry(2), entry(2, "recovery"), entry(2, "server")],
        ids=["owner without a signing key", "guest", "recovery", "server"],
    )
    def test_only_an_owner_with_a_signing_key_countersigns(self, signer: Entry) -> None:
        with pytest.raises(NotAllowed):
            Given(kid=signer.kid).to(listing(OWNER, signer))

    def test_an_owner_that_was_removed_countersigns_no_more(self) -> None:
        listed = listing(OWNER, entry(2, "owner")).remove(OWNER.kid, by=entry(2, "owner"), now=NOW)
        with pytest.raises(NotAllowed):
            Given().to(listed)

    def test_its_guest_stays_removed(self) -> None:
        listed = Given().to(listing()).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)
        for replayed in (Given(), Given(serial=b"\x01" * 16), Given(entry=entry(5))):
            with pytest.raises(AlreadyUsed):
                replayed.to(listed)

    def test_its_guest_stays_removed_when_tombstones_overflow(self) -> None:
        listed = Given().to(listing()).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)
        listed = bury_others(listed, NOW + 1)
        assert len(listed.removed) == MAX_TOMBSTONES
        assert kid_of(KEYS[1]) not in {stone.kid for stone in listed.removed}
        with pytest.raises(AlreadyUsed):
            Given().to(listed, NOW + 2)
        later = Given(serial=b"\x02" * 16, issued_at=NOW + 5)
        assert kid_of(KEYS[1]) in kids(later.to(listed, NOW + 6))

    def test_a_removal_outlives_the_owners_fast_clock(self) -> None:
        """The phone that issued it was ahead of the device that removed it."""
        ahead = Given(issued_at=NOW + 1000)
        listed = ahead.to(listing()).remove(kid_of(KEYS[1]), by=OWNER, now=NOW)
        listed = bury_others(listed, NOW)
        with pytest.raises(AlreadyUsed):
            ahead.to(listed)

    def test_a_newer_one_replaces_and_an_older_one_does_not(self) -> None:
        narrow = Given(serial=b"\x02" * 16, issued_at=NOW, entry=entry(1, name="narrow"))
        listed = narrow.to(Given().to(listing()))
        assert [each.name for each in listed.entries] == ["x", "narrow"]
        with pytest.raises(AlreadyUsed):
            Given().to(listed)

    def test_it_does_not_replace_what_the_owner_listed_since(self) -> None:
        listed = Given().to(listing()).add(entry(1, name="by hand"), by=OWNER, now=NOW)
        with pytest.raises(AlreadyUsed):
            Given().to(listed)

    def test_a_serial_serves_one_guest(self) -> None:
        with pytest.raises(AlreadyUsed):
            Given(entry=entry(5)).to(Given().to(listing()))

    def test_guests_are_bounded(self) -> None:
        listed = listing()
        for number in range(MAX_GUESTS):
            listed = Given(entry=entry(1 + number), serial=bytes((number,)) * 16).to(listed)
        with pytest.raises(QuotaExceeded):
            Given(entry=entry(40), serial=b"\xff" * 16).to(listed)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x80",
            sign1(SIGNER, message.encode(Admission(DEVICE, bytes(16), entry(1), NOW))),
            sign1(SIGNER, message.encode(Admission(DEVICE, bytes(16), entry(1), NOW)), kid=b"short"),
            sign1(SIGNER, b"no admission", kid=OWNER.kid),
            sign1(SIGNER, cbor.encode(["admittance/admission/1", DEVICE]), kid=OWNER.kid),
            bytes(5000),
        ],
    )
    def test_what_is_none_is_malformed(self, data: bytes) -> None:
        with pytest.raises(Malformed):
            listing().admit(data, device_id=DEVICE, now=NOW)

    def test_a_statement_of_another_kind_admits_nobody(self) -> None:
        """The signing key's other signatures, if it ever makes any, are no admissions."""
        other = sign1(SIGNER, cbor.encode(["admittance/other/1", DEVICE, bytes(16), [], NOW]), kid=OWNER.kid)
        with pytest.raises(Malformed):
            listing().admit(other, device_id=DEVICE, now=NOW)

    @given(st.integers(0, 10**6))
    @settings(max_examples=60, deadline=None)
    def test_one_bit_changed_admits_nobody(self, position: int) -> None:
        data = bytearray(Given().data())
        bit = position % (8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, SignatureInvalid, NotAllowed)):
            listing().admit(bytes(data), device_id=DEVICE, now=NOW)


roles = st.sampled_from(["owner", "guest", "recovery", "server"])
steps = st.lists(
    st.tuples(st.sampled_from(["add", "list", "remove", "admit", "epoch", "wait"]), st.integers(0, 30), roles, roles),
    max_size=60,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_the_list_holds_its_rules(script: list[tuple[str, int, Role, Role]]) -> None:
    listed, now, epoch = listing(), NOW, EPOCH
    gone: set[bytes] = set()
    for number, (deed, key, role, by) in enumerate(script):
        new = entry(key, role, epoch=epoch, expires_at=now + 50 if role == "guest" and key % 2 else 0)
        one_more = Given(entry=new, serial=number.to_bytes(16, "big"), issued_at=now - key)
        deeds: dict[str, Callable[[CredentialList], CredentialList]] = {
            "add": lambda old, new=new, by=by, now=now: old.add(new, by=entry(59, by), now=now),
            "list": lambda old, new=new, now=now: old.add(new, now=now),
            "remove": lambda old, key=key, by=by, now=now: old.remove(kid_of(KEYS[key]), by=entry(59, by), now=now),
            "admit": lambda old, one_more=one_more, now=now: one_more.to(old, now),
            "epoch": lambda old, epoch=epoch: old.begin_epoch(epoch),
            "wait": lambda old: old,
        }
        now += key if deed == "wait" else 0
        before = listed
        try:
            listed = deeds[deed](listed)
        except AdmittanceError:
            assert listed is before
            continue
        check(listed, before, deed, by)
        gone = (gone | kids(before)) - kids(listed) if deed == "remove" else gone - kids(listed)
        assert message.decode(message.encode(listed), CredentialList) == listed


def check(listed: CredentialList, before: CredentialList, deed: str, by: Role) -> None:
    assert len(listed.entries) <= MAX_ENTRIES
    assert len(kids(listed)) == len(listed.entries)
    assert len(listed.removed) <= MAX_TOMBSTONES
    assert sum(each.role == "server" for each in listed.entries) <= 1
    added = [each for each in listed.entries if each not in before.entries]
    if deed == "admit":
        assert all(each.role == "guest" for each in added)
    if deed == "add":
        assert all(each.role != "server" for each in added)
        assert by in ("owner", "recovery")
    if deed == "remove":
        assert any(each.role in ("owner", "recovery") for each in listed.entries)
