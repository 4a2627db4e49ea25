"""`admit grants` with a real server behind it; the device is not connected."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import click
import pytest

from admittance.cli.grants_window import hours_of, moment, this_evening, weekdays_of, zone_of
from tests.unit.cli.running_site import Site, running_site

MODELS = """
[models.lamp]
display_name = "Lamp"
presence = "display"
"""
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The profile ``owner`` is somebody with a device, ``guest`` somebody else."""
    with running_site(tmp_path_factory.mktemp("site"), MODELS) as running:
        running.join("owner")
        running.join("guest")
        yield running


@pytest.fixture(scope="module")
def device_id(site: Site) -> str:
    return site.enrolled("lamp", "owner").device_id


def test_an_owner_gives_changes_and_revokes_and_both_see_it(site: Site, device_id: str) -> None:
    email = site.object("account", "show", profile="guest")["email"]
    given = site.object(
        "grants", "give", device_id, "--to", email, "--action", "PUT /lamp", "--once", profile="owner"
    )
    assert (given["email"], given["uses"], given["access"][0]["actions"]) == (email, 1, ["PUT /lamp"])
    (received,) = site.object("grants", "list", profile="guest")["received"]
    assert (received["grant"], received["owner"], received["open_until"]) == (
        given["grant"],
        site.object("account", "show", profile="owner")["email"],
        given["ends_at"],
    )
    changed = site.object(
        "grants",
        "change",
        given["grant"],
        "--weekdays",
        "mon-fri",
        "--hours",
        "08:00-17:00",
        "--zone",
        "Europe/Berlin",
        "--action",
        "GET /lamp",
        profile="owner",
    )
    assert changed["hours"] == {"weekdays": [1, 2, 3, 4, 5], "from": "08:00", "to": "17:00", "zone": "Europe/Berlin"}
    assert changed["access"][0]["actions"] == ["GET /lamp"]
    assert site.refusal("grants", "revoke", given["grant"], profile="guest") == (5, "not_found")
    shown = site.admit("grants", "show", given["grant"], profile="owner")
    assert "mon,tue,wed,thu,fri 08:00-17:00 Europe/Berlin" in shown.stdout
    site.object("grants", "revoke", given["grant"], profile="owner")
    assert site.refusal("grants", "show", given["grant"], profile="guest") == (5, "not_found")
    events = site.object("grants", "history", given["grant"], profile="owner")["events"]
    assert [(each["event"], each["by"]) for each in events] == [
        ("grant.given", "you"),
        ("grant.changed", "you"),
        ("grant.revoked", "you"),
    ]
    assert given["grant"] in site.admit("grants", "list", "--all", profile="owner").stdout


def test_an_invitation_is_taken_by_who_is_logged_in(site: Site, device_id: str) -> None:
    given = site.object("grants", "give", device_id, "--invite", "--action", "PUT /lamp", profile="owner")
    link = given["invitation"]["link"]
    taken = site.object("grants", "accept", link, profile="guest")
    assert taken["grant"] == given["grant"]
    assert site.object("grants", "show", given["grant"], profile="owner")["accepted"] is True
    assert site.refusal("grants", "accept", link, profile="guest") == (3, "already_used")


def test_what_does_not_go_together_is_wrong_usage(site: Site, device_id: str) -> None:
    give = ("grants", "give", device_id, "--action", "PUT /lamp")
    for wrong in (
        (),
        ("--to", "a@example.org", "--invite"),
        ("--invite", "--once", "--uses", "2"),
        ("--invite", "--evening", "--until", "2099-01-01"),
        ("--invite", "--weekdays", "someday", "--zone", "Europe/Berlin"),
        ("--invite", "--hours", "8-17", "--zone", "Europe/Berlin"),
        ("--invite", "--until", "tomorrow", "--zone", "Europe/Berlin"),
    ):
        assert site.admit(*give, *wrong, profile="owner").exit_code == 2


@pytest.mark.parametrize("command", ["show", "revoke", "history"])
def test_the_id_of_a_grant_may_begin_as_options_do(site: Site, command: str) -> None:
    for grant in ("-AAAAAAAAAAAAAAAAAAAAA", "-hAAAAAAAAAAAAAAAAAAAA", "--hAAAAAAAAAAAAAAAAAAA"):
        assert site.refusal("grants", command, grant, profile="owner") == (5, "not_found")


@pytest.mark.parametrize(
    ("now", "begins", "ends"),
    [
        ("2027-01-15T09:00", "2027-01-15T17:00", "2027-01-16T00:00"),
        ("2027-01-15T21:30", "2027-01-15T21:30", "2027-01-16T00:00"),
        ("2027-03-28T01:00", "2027-03-28T17:00", "2027-03-29T00:00"),
        ("2027-10-31T23:59", "2027-10-31T23:59", "2027-11-01T00:00"),
    ],
)
def test_this_evening_is_the_evening_of_the_clocks_there(now: str, begins: str, ends: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=BERLIN).timestamp()
    found = tuple(datetime.fromtimestamp(each, BERLIN).isoformat()[:16] for each in this_evening("Europe/Berlin", at))
    assert found == (begins, ends)


def test_words_for_times_and_days() -> None:
    assert weekdays_of("mon-fri") == [1, 2, 3, 4, 5]
    assert weekdays_of("sat-mon, wed") == [1, 3, 6, 7]
    assert hours_of(None, None, "UTC") is None
    assert hours_of("sun", None, "UTC") == {"weekdays": [7], "from": "00:00", "to": "24:00", "zone": "UTC"}
    assert moment("2027-01-01T00:00", "Europe/Berlin") == moment("2026-12-31T23:00+00:00", "UTC")
    with pytest.raises(click.UsageError):
        zone_of("Europe/Nowhere")
