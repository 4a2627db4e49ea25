"""`admit account` with a real server behind it, over TLS with a certificate of its own CA."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from admittance.cli import main
from admittance.cli.account import check_origin, parse_invite_link
from admittance.errors import Malformed

EMAIL = "anna@example.org"
PASSWORD = "correct horse battery"


@dataclass
class Site:
    """A running server, and the files of the person who uses it."""

    folder: Path
    origin: str

    def admit(self, *arguments: str, stdin: str = "") -> Result:
        environment = {"ADMITTANCE_PROFILE": str(self.folder / "profile")}
        return CliRunner(env=environment).invoke(main, ["account", *arguments], input=stdin)

    @property
    def trust(self) -> list[str]:
        return ["--ca-file", str(self.folder / "data" / "people-ca.pem")]

    def invite(self, *options: str) -> str:
        made = self.admit("invite", EMAIL, "--config", str(self.folder / "server.toml"), "--json", *options)
        link: str = json.loads(made.output)["link"]
        return link

    def login(self, password: str = PASSWORD) -> Result:
        file = self.folder / "password.txt"
        file.write_text(password + "\n")
        return self.admit("login", EMAIL, "--server", self.origin, "--password-file", str(file), *self.trust)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    people, first_contact, device = free_ports(3)
    (folder / "server.toml").write_text(
        f'[server]\norigin = "https://localhost:{people}"\ndata_dir = "data"\n'
        f'[listen]\npeople = "127.0.0.1:{people}"\nfirst_contact = "127.0.0.1:{first_contact}"\n'
        f'device = "127.0.0.1:{device}"\n'
    )
    command = [sys.executable, "-c", "from admittance.cli import run; run()", "serve"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--config", str(folder / "server.toml")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("Ready"):
                    break
            yield Site(folder, f"https://localhost:{people}")
        finally:
            server.terminate()
            server.stdout.close()
            server.wait()


def test_an_invited_person_accepts_logs_in_and_keeps_a_network(site: Site) -> None:
    link = site.invite("--operator", "--quota", "5")
    accept = ["accept", "--link-file", "-", "--email", EMAIL, "--name", "Anna", *site.trust]
    password_file = site.folder / "first.txt"
    password_file.write_text(PASSWORD)
    first = site.admit(*accept, "--password-file", str(password_file), "--json", stdin=link)
    again = site.admit(*accept, "--password-file", str(password_file), "--json", stdin=link)
    assert first.exit_code == again.exit_code == 0
    assert first.output == again.output

    wrong = site.login("another password")
    assert wrong.exit_code == 4, wrong.output
    assert site.login().output == f"Logged in as {EMAIL}.\n"
    shown = json.loads(site.admit("show", "--json").output)
    assert (shown["email"], shown["operator"], shown["quota"], shown["devices"]) == (EMAIL, True, 5, 0)

    stored = site.admit("networks", "set", "home", "--ssid", "Home", stdin="a wifi passphrase\n")
    assert stored.exit_code == 0
    assert "a wifi passphrase" not in stored.output
    assert site.admit("networks", "set", "guests", "--ssid", "Guests", "--open").exit_code == 0
    assert site.admit("networks", "list").output == "guests: Guests\nhome: Home\n"
    assert json.loads(site.admit("networks", "list", "--json").output)["networks"][1]["name"] == "home"
    assert site.admit("networks", "remove", "home").exit_code == 0
    assert site.admit("networks", "remove", "home").exit_code == 5

    assert json.loads(site.admit("logout", "--json").output) == {"ended_at_server": True}
    refused = site.admit("show", "--json")
    assert refused.exit_code == 4
    assert json.loads(refused.output)["error"] == "authentication_failed"


def test_a_server_that_no_given_ca_vouches_for_gets_no_password(site: Site) -> None:
    refused = site.admit("login", EMAIL, "--server", site.origin, "--json", stdin=f"{PASSWORD}\n")
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
