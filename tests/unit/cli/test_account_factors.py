"""`admit account factors`, `totp`, `phone` and `trust` with a real server and a local SMS gateway behind them."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from click.testing import CliRunner

from admittance.cli import main
from admittance.demo.ports import free_ports
from tests.unit.cli.running_site import Site, running_site

SETTLE_S = 20.0
NUMBER = "+49 170 1234567"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The profile ``owner`` is the account's trusted app, ``tablet`` another login of it."""
    folder = tmp_path_factory.mktemp("site")
    with gateway(folder) as settings, running_site(folder, settings) as running:
        running.join("owner")
        assert running.login(email="owner@example.org", profile="tablet").exit_code == 0
        yield running


@contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """A running SMS gateway; gives the server's settings for it."""
    token, (port,) = folder / "sms-token", free_ports(1)
    token.touch(mode=0o600)
    token.write_text("token\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "admittance.demo.sms_gateway", "--listen", f"127.0.0.1:{port}"),
            *("--token-file", str(token), "--out", str(folder / "sms.jsonl")),
        ]
    )
    try:
        deadline = time.monotonic() + SETTLE_S
        while not _listens(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f'[sms]\nprovider = "http"\nurl = "http://127.0.0.1:{port}/"\ntoken_file = "{token}"\n'
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sms_code(site: Site, number: int) -> str:
    """The code in the message of that number, counted from 1."""
    lines: list[str] = []
    deadline = time.monotonic() + SETTLE_S
    while len(lines) < number:
        assert time.monotonic() < deadline, (site.folder / "server.log").read_text()
        time.sleep(0.05)
        lines = (site.folder / "sms.jsonl").read_text().splitlines()
    found = re.search(r"\b[0-9]{8}\b", json.loads(lines[number - 1])["text"])
    assert found is not None
    return found[0]


def test_a_login_becomes_trusted_by_a_code(site: Site) -> None:
    assert site.object("account", "factors", profile="owner")["trusted"] is True
    assert site.object("account", "factors", profile="tablet")["trusted"] is False
    assert site.refusal("devices", "code", profile="tablet") == (3, "app_not_trusted")
    assert site.refusal("account", "totp", "enrol", profile="tablet") == (3, "app_not_trusted")
    trust = ("account", "trust", "--code-file", "-")
    assert site.refusal(*trust, stdin="00000000\n", profile="tablet") == (4, "factor_refused")
    code = site.object("devices", "code", profile="owner")["code"]
    assert site.object(*trust, stdin=code, profile="tablet") == {"trusted": True}
    assert site.object("devices", "code", profile="tablet")["code"] != code


def test_an_account_asks_for_more_than_a_model(site: Site) -> None:
    asked = site.object("account", "factors", "--require", "code", "--require", "approval", profile="owner")
    assert sorted(asked["required"]) == ["approval", "code"]
    assert "approval" in site.text("account", "factors", profile="owner")
    assert site.object("account", "factors", "--none", profile="owner")["required"] == []
    both = ("account", "factors", "--require", "code", "--none")
    assert site.admit(*both, profile="owner").exit_code == 2
    assert site.admit("account", "factors", "--require", "luck", profile="owner").exit_code == 2
    assert site.refusal("account", "factors", profile="nobody") == (4, "authentication_failed")


def test_an_authenticator_app_is_set_up_and_removed(site: Site) -> None:
    uri = site.object("account", "totp", "enrol", profile="owner")["uri"]
    app = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
    confirm = ("account", "totp", "confirm", "--code-file", "-")
    wrong = f"{(int(app.now()) + 500_000) % 1_000_000:06}\n"
    assert site.refusal(*confirm, stdin=wrong, profile="owner") == (4, "factor_refused")
    assert site.object(*confirm, stdin=app.now(), profile="owner") == {"totp": True}
    assert site.object("account", "factors", profile="owner")["totp"] is True
    assert site.refusal("account", "totp", "enrol", profile="owner") == (3, "conflict")
    assert site.text("account", "totp", "remove", profile="owner") == "The authenticator app counts no more.\n"
    assert site.refusal("account", "totp", "remove", profile="owner") == (5, "not_found")


def test_the_seed_is_shown_as_a_qr_code_and_its_code_asked_for(site: Site) -> None:
    shown = site.admit("account", "totp", "enrol", stdin="000000\n", profile="owner")
    assert shown.exit_code == 4
    assert "otpauth://totp/" in shown.output
    assert "Scan it with your authenticator app" in shown.output


def test_a_phone_is_set_confirmed_and_removed(site: Site) -> None:
    assert site.refusal("account", "phone", "set", "0170", profile="owner") == (9, "malformed")
    assert site.object("account", "phone", "set", NUMBER, profile="owner") == {"sent": True}
    confirm = ("account", "phone", "confirm", "--code-file", "-")
    code = sms_code(site, 1)
    wrong = f"{(int(code) + 1) % 100_000_000:08}"
    assert site.refusal(*confirm, stdin=wrong, profile="owner") == (4, "factor_refused")
    assert site.text(*confirm, stdin=code, profile="owner") == "The phone number counts from now on.\n"
    shown = site.object("account", "factors", profile="owner")
    assert shown["sms"] is True
    assert shown["phone"].endswith("67")
    assert NUMBER.replace(" ", "") not in shown["phone"]
    assert site.object("account", "phone", "remove", profile="owner") == {"phone": None}
    assert site.refusal("account", "phone", "remove", profile="owner") == (5, "not_found")


@pytest.mark.parametrize("command", [["factors"], ["trust"], ["totp", "enrol"], ["phone", "set"]])
def test_help_comes_with_examples(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["account", *command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
