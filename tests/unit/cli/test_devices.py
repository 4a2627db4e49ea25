"""`admit devices` with a real server behind it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from admittance.cli import main
from admittance.cli.devices import devices
from admittance.wire.enrolment import Factor
from tests.unit.cli.running_site import Site, running_site

MODELS = """
[models.lamp]
display_name = "Lamp"
presence = "display"

[models.safe]
display_name = "Safe"
presence = "display"
second_factor = ["code", "approval"]
"""
UNKNOWN = "AD" + "A" * 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The profile ``owner`` is somebody with devices, ``operator`` the operator, ``other`` anybody else."""
    with running_site(tmp_path_factory.mktemp("site"), MODELS) as running:
        running.join("operator", "--operator")
        running.join("owner")
        running.join("other")
        yield running


def owners(site: Site, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = site.object("devices", *arguments, profile="owner")
    return found


def events(site: Site, device_id: str, profile: str = "owner") -> list[str]:
    found = site.object("devices", "history", device_id, profile=profile)["events"]
    return [event["event"] for event in found]


def test_a_manifest_is_imported_again_and_again(site: Site) -> None:
    manifest = site.manifest(site.device("lamp"), site.device("lamp"))
    first = site.object("devices", "import", str(manifest), *site.config)
    assert first == {"lines": 2, "added": 2, "known": 0, "failed": 0, "errors": []}
    again = site.text("devices", "import", str(manifest), *site.config)
    assert again == "0 devices added, 2 known already, 0 lines not taken.\n"


def test_a_manifest_with_a_broken_line_is_taken_but_for_that_line(site: Site) -> None:
    manifest = site.manifest(site.device("lamp"))
    manifest.write_bytes(b"{}\n" + manifest.read_bytes())
    done = site.admit("devices", "import", str(manifest), *site.config, "--json")
    assert done.exit_code == 9
    summary = json.loads(done.stdout.splitlines()[0])
    assert (summary["added"], summary["failed"], summary["errors"][0]["line"]) == (1, 1, 1)
    told = site.admit("devices", "import", str(manifest), *site.config)
    assert (told.exit_code, told.stdout) == (9, "0 devices added, 1 known already, 1 lines not taken.\n")
    assert told.stderr.startswith("line 1: ")


def test_who_has_no_devices_is_told_what_to_do(site: Site) -> None:
    assert site.text("devices", "list", profile="other") == "You have no devices. Set one up: admit provision\n"
    assert site.object("devices", "list", profile="other") == {"devices": []}
    assert site.refusal("devices", "list", "--all", profile="other") == (3, "not_allowed")


def test_a_device_is_listed_and_shown(site: Site) -> None:
    device = site.enrolled("lamp", "owner").device_id
    listed = site.object("devices", "list", profile="owner")["devices"]
    assert device in [each["device_id"] for each in listed]
    assert device in [
        each["device_id"] for each in site.object("devices", "list", "--all", profile="operator")["devices"]
    ]
    assert f"{device}  Lamp" in site.text("devices", "list", profile="owner")
    shown = owners(site, "show", device)
    assert (shown["state"], shown["assurance"], shown["epoch"]) == ("active", "listed", 1)
    told = site.text("devices", "show", device.lower(), profile="owner")
    assert "issued for the ticket of an activation" in told
    assert "(Lamp, model lamp)" in told


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["revoke", "--yes", "--reason", "gone"],
        ["release", "--yes"],
        ["lost"],
        ["stolen"],
        ["found"],
        ["keep"],
        ["decommission", "--yes", "--reason", "gone"],
        ["history"],
    ],
    ids=lambda command: command[0],
)
def test_anothers_device_and_none_are_alike(site: Site, command: list[str]) -> None:
    device = site.enrolled("lamp", "owner").device_id
    name, *options = command
    for each in (device, UNKNOWN):
        assert site.refusal("devices", name, each, *options, profile="other") == (5, "not_found")
    assert site.refusal("devices", name, "no-id", *options, profile="owner") == (9, "malformed")
    assert site.refusal("devices", name, device, *options, profile="nobody") == (4, "authentication_failed")
    assert owners(site, "show", device)["state"] == "active"


def test_revoking_asks_first_and_is_for_good(site: Site) -> None:
    device = site.enrolled("lamp", "owner").device_id
    revoke = ("devices", "revoke", device, "--reason", "broken")
    assert site.admit(*revoke, stdin="n\n", profile="owner").exit_code == 1
    assert owners(site, "show", device)["state"] == "active"
    assert "is revoked" in site.text(*revoke, stdin="y\n", profile="owner")
    assert owners(site, "revoke", device, "--reason", "broken", "--yes")["state"] == "revoked"
    assert site.refusal("devices", "release", device, "--yes", profile="owner") == (3, "conflict")
    assert site.admit("devices", "revoke", device, "--yes", profile="owner").exit_code == 2


def test_a_released_device_is_the_next_persons(site: Site) -> None:
    device = site.enrolled("lamp", "owner")
    assert site.admit("devices", "release", device.device_id, stdin="n\n", profile="owner").exit_code == 1
    assert owners(site, "release", device.device_id, "--yes")["state"] == "released"
    assert site.refusal("devices", "show", device.device_id, profile="owner") == (5, "not_found")
    assert site.hand_in(device, site.claim(device, "other")).status_code == 201
    assert site.object("devices", "show", device.device_id, profile="other")["epoch"] == 2


def test_a_device_is_lost_stolen_and_found(site: Site) -> None:
    device = site.enrolled("lamp", "owner").device_id
    assert owners(site, "lost", device)["reported"] == "lost"
    assert owners(site, "show", device)["certificate"]
    assert site.text("devices", "found", device, profile="owner") == f"{device} is found again.\n"
    stolen = owners(site, "stolen", device)
    assert (stolen["reported"], stolen["certificate"]) == ("stolen", None)
    assert site.refusal("devices", "release", device, "--yes", profile="owner") == (3, "conflict")
    assert owners(site, "found", device)["reported"] is None
    seen = events(site, device)
    assert [event for event in seen if event in ("device.lost", "device.found", "device.stolen")] == [
        "device.lost",
        "device.found",
        "device.stolen",
        "device.found",
    ]
    assert "device.stolen" in site.text("devices", "history", device, profile="owner")


def test_a_device_that_is_not_enrolled_cannot_be_lost(site: Site) -> None:
    device = site.listed("lamp")
    site.claim(device, "owner")
    assert site.refusal("devices", "lost", device.device_id, profile="owner") == (3, "conflict")


def test_decommissioning_is_the_end(site: Site) -> None:
    device = site.enrolled("lamp", "owner").device_id
    decommission = ("devices", "decommission", device, "--reason", "scrapped")
    assert site.admit(*decommission, stdin="n\n", profile="owner").exit_code == 1
    assert owners(site, "decommission", device, "--reason", "scrapped", "--yes") == {
        "device_id": device,
        "state": "decommissioned",
    }
    assert site.object("devices", "show", device, profile="operator")["state"] == "decommissioned"
    assert site.refusal("devices", "assign", device, "owner@example.org", profile="operator") == (3, "conflict")


def test_the_operator_says_who_may_claim_a_device(site: Site) -> None:
    device = site.listed("lamp")
    assign = ("devices", "assign", device.device_id)
    assert site.refusal(*assign, "other@example.org", profile="owner") == (3, "not_allowed")
    assert site.refusal(*assign, "nobody@example.org", profile="operator") == (5, "not_found")
    for wrong in ((), ("other@example.org", "--anybody")):
        assert site.admit(*assign, *wrong, profile="operator").exit_code == 2
    told = site.text(*assign, "owner@example.org", profile="operator")
    assert told == f"Only owner@example.org can claim {device.device_id} now.\n"
    assert site.object(*assign, "--anybody", profile="operator")["device_id"] == device.device_id


def test_an_owner_objects_to_the_operators_release(site: Site) -> None:
    device = site.enrolled("lamp", "owner").device_id
    release = ("devices", "release", device, "--operator")
    assert site.refusal(*release, profile="owner") == (3, "not_allowed")
    assert site.object(*release, profile="operator")["release_at"]
    assert "unless you object: admit devices keep" in site.text("devices", "show", device, profile="owner")
    assert owners(site, "keep", device)["release_at"] is None


def test_a_code_lets_one_device_enrol(site: Site) -> None:
    device, second = site.listed("safe"), site.listed("safe")
    tickets = [site.claim(each, "owner") for each in (device, second)]
    code = owners(site, "code")["code"]
    assert "good once" in site.text("devices", "code", profile="owner")
    assert site.hand_in(device, tickets[0]).json()["code"] == "factor_required"
    assert site.hand_in(device, tickets[0], Factor("code", code)).status_code == 201
    assert not site.hand_in(second, tickets[1], Factor("code", code)).is_success
    assert owners(site, "show", device.device_id)["enrolment"]["factor"] == "code"


def test_an_owner_approves_and_denies(site: Site) -> None:
    assert site.text("devices", "pending", profile="owner") == "No device waits for your approval.\n"
    wanted, unwanted = site.listed("safe"), site.listed("safe")
    tickets = {device.device_id: site.claim(device, "owner") for device in (wanted, unwanted)}
    for device in (wanted, unwanted):
        asked = site.hand_in(device, tickets[device.device_id], Factor("approval", ""))
        assert asked.json()["code"] == "approval_pending"
    waiting = site.object("devices", "pending", profile="owner")["enrolments"]
    assert {each["device_id"] for each in waiting} == set(tickets)
    assert f"{wanted.device_id}  Safe  from 127.0.0.1\n" in site.text("devices", "pending", profile="owner")
    assert site.refusal("devices", "approve", wanted.device_id, profile="other") == (5, "not_found")
    approved = owners(site, "approve", wanted.device_id.lower())
    assert approved == {"device_id": wanted.device_id, "decision": "approved"}
    assert site.text("devices", "deny", unwanted.device_id, profile="owner") == f"{unwanted.device_id} is denied.\n"
    assert site.hand_in(wanted, tickets[wanted.device_id], Factor("approval", "")).status_code == 201
    assert not site.hand_in(unwanted, tickets[unwanted.device_id], Factor("approval", "")).is_success
    assert site.refusal("devices", "deny", unwanted.device_id, profile="owner") == (5, "not_found")


@pytest.mark.parametrize("command", sorted(devices.commands))
def test_help_comes_with_examples(command: str) -> None:
    result = CliRunner().invoke(main, ["devices", command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
