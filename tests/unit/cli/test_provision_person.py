import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from admittance.cli.provision_person import Answers, JsonPerson, TerminalPerson
from admittance.client.provisioning_events import AttemptFailed, DeviceMet, SeenNetwork, StepFinished, StepStarted
from admittance.errors import ConfigurationError
from admittance.protocol.provisioning.network_secret import Network

SEEN = [SeenNetwork("Home", -45, False), SeenNetwork("Café", -75, True)]
MET = DeviceMet("ADAAAAAAAAAAAAAAAAAAAA", "lamp-1", False)


def answers(folder: Path, *passwords: str, ssid: str | None = None) -> Answers:
    path = folder / "passwords"
    path.write_text("".join(f"{password}\n" for password in passwords))
    return Answers(ssid, path if passwords else None)


def at_terminal(typed: str, work: Callable[[], Coroutine[Any, Any, object]]) -> tuple[object, str]:
    """What `work` returns while a person types, and what it printed."""
    results: list[object] = []

    @click.command()
    def command() -> None:
        results.append(asyncio.run(work()))

    done = CliRunner().invoke(command, input=typed, catch_exceptions=False)
    return results[0], done.output


def test_the_list_shows_bars_and_the_choice_is_asked_for(tmp_path: Path) -> None:
    person = TerminalPerson(answers(tmp_path), assume_yes=False)
    chosen, output = at_terminal("1\nsecret-password\n", lambda: person.choose_network(SEEN))
    assert chosen == Network("Home", "secret-password")
    assert "▁▃▅▇  Home" in output
    assert "▁     Café  (open)" in output
    assert "secret-password" not in output


def test_an_open_network_wants_no_password(tmp_path: Path) -> None:
    person = TerminalPerson(answers(tmp_path), assume_yes=False)
    chosen, _ = at_terminal("2\n", lambda: person.choose_network(SEEN))
    assert chosen == Network("Café", "")


def test_a_wrong_password_is_asked_for_again(tmp_path: Path) -> None:
    person = TerminalPerson(answers(tmp_path), assume_yes=False)
    tried = Network("Home", "wrong")
    mended, _ = at_terminal("right-password\n", lambda: person.mend_network(tried, "wrong_password"))
    assert mended == Network("Home", "right-password")


def test_another_cause_offers_another_network(tmp_path: Path) -> None:
    person = TerminalPerson(answers(tmp_path), assume_yes=False)
    tried = Network("Home", "right")
    mended, _ = at_terminal("y\nOther\npassword\n", lambda: person.mend_network(tried, "no_address"))
    assert mended == Network("Other", "password")
    given_up, _ = at_terminal("n\n", lambda: person.mend_network(tried, "no_address"))
    assert given_up is None


async def test_events_are_told_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = TerminalPerson(answers(tmp_path), assume_yes=True)
    person.told(StepStarted("session", 30))
    person.told(StepFinished("session"))
    person.told(AttemptFailed("wrong_password", 1))
    assert await person.confirm(MET)
    output = capsys.readouterr().out
    assert "Prove the code to the device (at most 30 s)" in output
    assert "✗ The password is wrong." in output
    assert "lamp-1" in output


async def test_json_takes_passwords_from_the_file_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = JsonPerson(answers(tmp_path, "first-password", "second-password", ssid="Home"))
    assert await person.choose_network(SEEN) == Network("Home", "first-password")
    tried = Network("Home", "first-password")
    assert await person.mend_network(tried, "wrong_password") == Network("Home", "second-password")
    assert await person.mend_network(tried, "wrong_password") is None
    output = capsys.readouterr().out
    assert "password" not in output
    assert json.loads(output)["networks"][0] == {"ssid": "Home", "signal_dbm": -45, "open": False}


async def test_json_never_asks(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--network"):
        await JsonPerson(answers(tmp_path, "p")).choose_network(SEEN)
    with pytest.raises(ConfigurationError, match="--password-file"):
        await JsonPerson(answers(tmp_path, ssid="Home")).choose_network(SEEN)
    assert await JsonPerson(answers(tmp_path, "p", ssid="Home")).mend_network(None, "no_address") is None


async def test_json_tells_each_event_as_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = JsonPerson(answers(tmp_path))
    person.told(StepStarted("session", 30))
    person.told(StepFinished("session"))
    person.told(AttemptFailed("wrong_password", 2))
    assert await person.confirm(MET)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["started", "finished", "network_failed", "met"]
    assert events[2] == {"event": "network_failed", "cause": "wrong_password", "attempt": 2}
