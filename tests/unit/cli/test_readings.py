"""`admit readings` with a real server behind it; the device is not connected."""

import csv
import io
from collections.abc import Iterator

import pytest

from tests.unit.cli.running_site import Site, running_site

MODELS = """
[models.lamp]
display_name = "Lamp"
presence = "display"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The profile ``owner`` is somebody with a device, ``operator`` the operator."""
    with running_site(tmp_path_factory.mktemp("site"), MODELS) as running:
        running.join("operator", "--operator")
        running.join("owner")
        yield running


@pytest.fixture(scope="module")
def device_id(site: Site) -> str:
    return site.enrolled("lamp", "owner").device_id


def test_consent_is_given_name_by_name_and_withdrawn(site: Site, device_id: str) -> None:
    nothing = site.object("readings", "consent", device_id, profile="owner")
    assert (nothing["readings"], nothing["given_at"], "device_told" in nothing) == ([], None, False)
    given = site.object(
        "readings", "consent", device_id, "--allow", "temperature", "--allow", "door", profile="owner"
    )
    assert (given["readings"], given["device_told"], given["device_error"]) == (
        ["door", "temperature"],
        False,
        "not_found",
    )
    less = site.object("readings", "consent", device_id, "--withdraw", "door", profile="owner")
    assert less["readings"] == ["temperature"]
    done = site.admit("readings", "consent", device_id, "--withdraw-all", "--erase", profile="owner")
    assert done.exit_code == 0
    assert done.stdout == f"{device_id} may send nothing.\n"
    assert f"admit readings consent {device_id} --tell" in done.stderr
    events = site.object("devices", "history", device_id, profile="owner")["events"]
    changes = [event["event"] for event in events if event["event"].startswith("device.readings")]
    assert changes == ["device.readings_consented"] + ["device.readings_withdrawn"] * 2


def test_a_name_that_no_reading_can_have_is_refused(site: Site, device_id: str) -> None:
    refused = site.refusal("readings", "consent", device_id, "--allow", "two words", profile="owner")
    assert refused == (9, "malformed")


def test_others_and_operators_neither_see_nor_give_consent(site: Site, device_id: str) -> None:
    for arguments in (("consent", device_id), ("consent", device_id, "--allow", "door"), ("list", device_id)):
        assert site.refusal("readings", *arguments, profile="operator") == (5, "not_found")


def test_the_owner_lists_and_exports(site: Site, device_id: str) -> None:
    assert site.object("readings", "list", device_id, profile="owner") == {"device_id": device_id, "readings": []}
    assert "no readings" in site.text("readings", "list", device_id, profile="owner")
    table = list(csv.reader(io.StringIO(site.text("readings", "export", device_id, profile="owner"))))
    assert [row[:3] for row in table] == [["device_id", "name", "value"]]


def test_the_operator_exports_into_a_file_and_nobody_else(site: Site) -> None:
    file = site.folder / "all.csv"
    assert site.text("readings", "export", "--output", str(file), profile="operator") == ""
    assert file.read_text().startswith("device_id,name,value,unit,measured_at,received_at,skew_s,assurance")
    refused = site.admit("readings", "export", profile="owner")
    assert (refused.exit_code, refused.stdout) == (3, "")
