"""`admit account` with a real server behind it, over TLS with a certificate of its own CA."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from admittance.cli import main
from admittance.cli.account import check_origin, parse_invite_link
from admittance.errors import Malformed
from tests.unit.cli.running_site import EMAIL, PASSWORD, Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def test_an_invited_person_accepts_logs_in_and_keeps_a_network(site: Site) -> None:
    link = site.invite("--operator", "--quota", "5")
    accept = ["accept", "--link-file", "-", "--email", EMAIL, "--name", "Anna", *site.trust]
    password_file = site.folder / "first.txt"
    password_file.write_text(PASSWORD)
    first = site.account(*accept, "--password-file", str(password_file), "--json", stdin=link)
    again = site.account(*accept, "--password-file", str(password_file), "--json", stdin=link)
    assert first.exit_code == again.exit_code == 0
    assert first.output == again.output

    wrong = site.login("another password")
    assert wrong.exit_code == 4, wrong.output
    assert site.login().output == f"Logged in as {EMAIL}.\n"
    shown = json.loads(site.account("show", "--json").output)
    assert (shown["email"], shown["operator"], shown["quota"], shown["devices"]) == (EMAIL, True, 5, 0)

    stored = site.account("networks", "set", "home", "--ssid", "Home", stdin="a wifi passphrase\n")
    assert stored.exit_code == 0
    assert "a wifi passphrase" not in stored.output
    assert site.account("networks", "set", "guests", "--ssid", "Guests", "--open").exit_code == 0
    assert site.account("networks", "list").output == "guests: Guests\nhome: Home\n"
    assert json.loads(site.account("networks", "list", "--json").output)["networks"][1]["name"] == "home"
    assert site.account("networks", "remove", "home").exit_code == 0
    assert site.account("networks", "remove", "home").exit_code == 5

    assert json.loads(site.account("logout", "--json").output) == {"ended_at_server": True}
    refused = site.account("show", "--json")
    assert refused.exit_code == 4
    assert json.loads(refused.output)["error"] == "authentication_failed"


def test_a_server_that_no_given_ca_vouches_for_gets_no_password(site: Site) -> None:
    refused = site.account("login", EMAIL, "--server", site.origin, "--json", stdin=f"{PASSWORD}\n")
    assert refused.exit_code == 8
    assert "trusted server" in refused.output


def test_a_password_is_never_an_argument() -> None:
    for command in ("accept", "login"):
        assert "--password " not in CliRunner().invoke(main, ["account", command, "--help"]).output


@pytest.mark.parametrize(
    "command", [[], ["invite"], ["accept"], ["login"], ["logout"], ["show"], ["networks", "set"]]
)
def test_help_comes_with_examples(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["account", *command, "--help"])
    assert result.exit_code == 0
    assert not command or "Example" in result.output


def test_a_link_gives_origin_and_secret() -> None:
    assert parse_invite_link(" https://h.example:8443/invite#abc\n") == ("https://h.example:8443", "abc")


@pytest.mark.parametrize(
    "link", ["", "https://h.example/invite", "https://h/invite#", "http://h/invite#a", "/invite#a"]
)
def test_another_link_is_malformed(link: str) -> None:
    with pytest.raises(Malformed):
        parse_invite_link(link)


@pytest.mark.parametrize("origin", ["http://h", "https://h/path", "https://h?q", "h", "https://"])
def test_another_origin_is_malformed(origin: str) -> None:
    with pytest.raises(Malformed):
        check_origin(origin)
