"""`admit credentials` against a device behind a relay."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import segno

from admittance.client.channel.cards import DeviceCard, from_text
from admittance.client.channel.recovery_kit import RecoveryKit
from admittance.wire.channel import GET, PUT, Permission
from tests.unit.cli.device_behind_relay import Home, home
from tests.unit.client.channel.relay_world import DEVICE_ID, discovers


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with home(tmp_path) as opened:
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", discovers([opened.world.relay.url]))
        yield opened


def roles(at_home: Home) -> list[tuple[str, str]]:
    listed = at_home.object("credentials", "list", DEVICE_ID)["credentials"]
    return [(app["role"], app["name"]) for app in listed]


def test_the_list_tells_which_app_is_this_one(at_home: Home) -> None:
    [mine] = at_home.object("credentials", "list", "lock-1")["credentials"]
    assert (mine["role"], mine["name"], mine["expires_at"], mine["this_app"]) == ("owner", "phone", 0, True)
    assert mine["kid"] == at_home.object("credentials", "card")["kid"]
    assert "this app" in at_home.text("credentials", "list", DEVICE_ID)


def test_another_app_becomes_an_owners_and_removes_the_lost_one(at_home: Home) -> None:
    at_home.world.other_app("tablet")
    card = at_home.text("credentials", "card", "--app-name", "Ben's tablet", profile="tablet").strip()
    introduction = at_home.text("credentials", "add", DEVICE_ID, card).strip()
    at_home.text("credentials", "accept", introduction, profile="tablet")
    assert at_home.object("talk", DEVICE_ID, "get", "/value", profile="tablet")["code"] == "2.05"
    assert roles(at_home) == [("owner", "phone"), ("owner", "Ben's tablet")]
    removed = at_home.object("credentials", "remove", DEVICE_ID, "phone", "--yes", profile="tablet")
    assert removed["name"] == "phone"
    code, error, detail = at_home.refusal("talk", DEVICE_ID, "get", "/value")
    assert (code, error) == (4, "authentication_failed")
    assert "admit credentials add" in detail


def test_a_guest_is_let_in_with_a_scope_and_for_a_while(at_home: Home) -> None:
    at_home.world.other_app("guest")
    card = at_home.object("credentials", "card", "--app-name", "guest", profile="guest")["card"]
    add = ("credentials", "add", DEVICE_ID, card, "--role", "guest", "--days", "2")
    at_home.object(*add, "--allow", "/value=get,put", "--allow", "/sensors/*=get")
    [_, guest] = at_home.run(lambda: at_home.world.device.listed.entries)
    assert guest.scope == (Permission("/value", GET | PUT), Permission("/sensors/*", GET))
    assert abs(guest.expires_at - time.time() - 2 * 86400) < 60
    assert guest.signing == b""


def test_an_admission_waits_until_the_guests_app_meets_the_device(at_home: Home) -> None:
    at_home.world.other_app("guest")
    card = at_home.object("credentials", "card", "--app-name", "guest", profile="guest")["card"]
    admitted = at_home.object("credentials", "admit", DEVICE_ID, card, "--allow", "/value=get")
    assert from_text(admitted["card"], DeviceCard).admission
    assert roles(at_home) == [("owner", "phone")]
    at_home.text("credentials", "accept", admitted["card"], profile="guest")
    assert at_home.object("talk", DEVICE_ID, "get", "/value", profile="guest")["value"] == "0"
    assert roles(at_home) == [("owner", "phone"), ("guest", "guest")]


def test_a_kit_lets_a_new_app_in_when_none_is_left(at_home: Home, tmp_path: Path) -> None:
    printed = at_home.text("credentials", "kit", DEVICE_ID)
    kit_file = tmp_path / "kit.txt"
    kit_file.write_text(printed)
    at_home.world.other_app("new")
    recover = ("credentials", "recover", "--kit-file", str(kit_file), "--app-name", "new phone")
    assert at_home.object(*recover, profile="new") == {"device_id": DEVICE_ID}
    found = roles(at_home)
    assert [role for role, _ in found] == ["owner", "recovery", "owner"]
    assert at_home.object("credentials", "remove", DEVICE_ID, "phone", "--yes", profile="new")["role"] == "owner"
    assert at_home.refusal("talk", DEVICE_ID, "get", "/value")[1] == "authentication_failed"


def test_a_kit_is_read_from_a_picture_or_typed(at_home: Home, tmp_path: Path) -> None:
    kit = at_home.object("credentials", "kit", DEVICE_ID)["kit"]
    picture = tmp_path / "kit.png"
    segno.make_qr(kit).save(str(picture), scale=4)
    for number, arguments in enumerate((("--kit-file", str(picture)), ())):
        profile = f"new{number}"
        at_home.world.other_app(profile)
        recover = ("credentials", "recover", "--app-name", profile, *arguments)
        at_home.text(*recover, profile=profile, stdin=kit.lower() + "\n")
        assert at_home.object("talk", DEVICE_ID, "get", "/value", profile=profile)["code"] == "2.05"


def test_a_kit_is_a_key_of_its_own_and_holds_the_devices(at_home: Home) -> None:
    first, second = (at_home.object("credentials", "kit", DEVICE_ID) for _ in range(2))
    assert first["kid"] != second["kid"]
    assert RecoveryKit.of_text(first["kit"]).device_key == at_home.world.device.key.credential.spki


def test_a_mistyped_kit_is_named(at_home: Home, tmp_path: Path) -> None:
    kit_file = tmp_path / "kit.txt"
    kit_file.write_text("00000-11111")
    assert at_home.refusal("credentials", "recover", "--kit-file", str(kit_file))[:2] == (9, "malformed")


def test_the_last_app_is_not_removed(at_home: Home) -> None:
    code, _, detail = at_home.refusal("credentials", "remove", DEVICE_ID, "phone", "--yes")
    assert code == 3
    assert "last" in detail


def test_removing_asks_first(at_home: Home) -> None:
    done = at_home.admit("credentials", "remove", DEVICE_ID, "phone", stdin="n\n")
    assert done.exit_code == 1
    assert "this app itself" in done.stderr
    assert roles(at_home) == [("owner", "phone")]


def test_who_is_not_listed_can_not_be_removed(at_home: Home) -> None:
    assert at_home.refusal("credentials", "remove", DEVICE_ID, "nobody", "--yes")[:2] == (5, "not_found")


@pytest.mark.parametrize(
    "options",
    [
        ("--role", "guest"),
        ("--allow", "/lock=get"),
        ("--role", "guest", "--allow", "/lock"),
        ("--role", "guest", "--allow", "/lock=open"),
        ("--role", "guest", "--allow", "lock=get"),
        ("--role", "guest", "--allow", "/lock=get", "--until", "2020-01-01"),
    ],
)
def test_wrong_usage_is_explained(at_home: Home, options: tuple[str, ...]) -> None:
    card = at_home.object("credentials", "card")["card"]
    assert at_home.admit("credentials", "add", DEVICE_ID, card, *options).exit_code == 2


def test_what_is_no_card_is_named(at_home: Home) -> None:
    assert at_home.refusal("credentials", "add", DEVICE_ID, "AAAA")[:2] == (9, "malformed")
    assert at_home.refusal("credentials", "accept", "AAAA")[:2] == (9, "malformed")


def test_help_shows_examples(at_home: Home) -> None:
    for command in ("list", "card", "add", "admit", "accept", "remove", "kit", "recover"):
        assert "Example" in at_home.text("credentials", command, "--help")
