"""The person of `admit provision`: asks at the terminal, or takes answers from options and tells JSON."""

from collections.abc import Sequence
from pathlib import Path

import click

from admittance.cli.output import emit
from admittance.client.provisioning_events import (
    AttemptFailed,
    DeviceMet,
    Event,
    FactorAwaited,
    SeenNetwork,
    StepFinished,
    StepName,
    StepStarted,
)
from admittance.errors import ConfigurationError
from admittance.protocol.provisioning.network_secret import Network

TITLES: dict[StepName, str] = {
    "challenge": "Ask the server for a challenge",
    "access_point": "Join the device's access point",
    "presence_code": "Get the code of this moment from the server",
    "session": "Prove the code to the device",
    "evidence": "Take the device's evidence",
    "networks": "See which networks the device sees",
    "activation": "Bind the device to your account",
    "delivery": "Deliver the sealed configuration",
    "network": "Watch the device join your network",
    "factor": "Give the device its second factor",
    "enrolment": "See that the server gave it its certificate",
}

CAUSES = {
    "wrong_password": "The password is wrong",
    "not_found": "The device does not see this network; 5 GHz networks are often out of its reach",
    "no_address": "The network gave the device no address; restart the router or choose another network",
    "no_server": "The network does not lead to the server; check its internet connection",
    "server_refused": "The server refused the device",
    "untrusted_server": "Something in the network poses as the server; choose another network",
    "clock": "The device could not set its clock",
}

BARS = "▁▃▅▇"


class Answers:
    """What options answer beforehand: the network's name, and passwords in the order in which to try them."""

    def __init__(self, ssid: str | None, password_file: Path | None, code_file: Path | None = None) -> None:
        self.ssid = ssid
        self._code_file = code_file
        self._passwords = _read_passwords(password_file) if password_file else []

    def next_password(self) -> str | None:
        return self._passwords.pop(0) if self._passwords else None

    def code(self) -> str | None:
        """The enrolment code in the file, once; it is read when it is needed, since codes are short-lived."""
        file, self._code_file = self._code_file, None
        lines = _read_passwords(file) if file is not None else []
        return lines[0].strip() if lines else None


class TerminalPerson:
    """Prompts where an option gave no answer."""

    def __init__(self, answers: Answers, *, assume_yes: bool) -> None:
        self._answers = answers
        self._assume_yes = assume_yes

    def told(self, event: Event) -> None:
        match event:
            case StepStarted(step, deadline_s):
                click.echo(f"… {TITLES[step]} (at most {deadline_s} s)", nl=False)
            case StepFinished(step, detail):
                click.echo(f"\r✓ {TITLES[step]}{f': {detail}' if detail else ''}\033[K")
            case FactorAwaited(device_id, kinds):
                click.echo(f"\n{_awaited(device_id, kinds)}")
            case AttemptFailed(cause, _):
                click.echo(f"\n✗ {CAUSES.get(cause, cause)}.")

    async def confirm(self, met: DeviceMet) -> bool:
        click.echo(f"This is {met.model}, {met.device_id}{', which has an owner' if met.owned else ''}.")
        return self._assume_yes or click.confirm("Set up this device?", default=True)

    async def choose_network(self, seen: Sequence[SeenNetwork]) -> Network:
        ssid = self._answers.ssid
        if ssid is None:
            ssid = _choose(seen)
        is_open = any(network.open for network in seen if network.ssid == ssid)
        return Network(ssid, "" if is_open else self._password(ssid))

    async def mend_network(self, tried: Network | None, cause: str) -> Network | None:
        if cause == "wrong_password" and tried is not None:
            return Network(tried.ssid, self._password(tried.ssid))
        if not click.confirm("Try another network?", default=True):
            return None
        ssid = click.prompt("Name of the network", default=tried.ssid if tried else None)
        return Network(ssid, self._password(ssid))

    async def enrolment_code(self, *, refused: bool) -> str | None:
        prepared = self._answers.code()
        if prepared is not None:
            return prepared
        if refused:
            click.echo("\n✗ The code is wrong, outdated or used.")
        text = "\nEnrolment code (from another device, or: admit devices code; empty to use another factor)"
        return str(click.prompt(text, default="", show_default=False)).strip() or None

    def _password(self, ssid: str) -> str:
        prepared = self._answers.next_password()
        if prepared is not None:
            return prepared
        return str(click.prompt(f"Password of {ssid}", hide_input=True))


class JsonPerson:
    """Tells each event as one JSON object, and never asks: what options don't answer ends the provisioning."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def told(self, event: Event) -> None:
        match event:
            case StepStarted(step, deadline_s):
                emit({"event": "started", "step": step, "deadline_s": deadline_s}, True)
            case StepFinished(step, _):
                emit({"event": "finished", "step": step}, True)
            case FactorAwaited(device_id, kinds):
                emit({"event": "factor_awaited", "device_id": device_id, "kinds": kinds}, True)
            case AttemptFailed(cause, attempt):
                emit({"event": "network_failed", "cause": cause, "attempt": attempt}, True)

    async def confirm(self, met: DeviceMet) -> bool:
        emit({"event": "met", "device_id": met.device_id, "model": met.model, "owned": met.owned}, True)
        return True

    async def choose_network(self, seen: Sequence[SeenNetwork]) -> Network:
        emit({"event": "networks", "networks": [_as_object(network) for network in seen]}, True)
        if self._answers.ssid is None:
            raise ConfigurationError("Name the network by --network; with --json nobody is asked.")
        is_open = any(network.open for network in seen if network.ssid == self._answers.ssid)
        password = "" if is_open else self._answers.next_password()
        if password is None:
            raise ConfigurationError("Give the password by --password-file; with --json nobody is asked.")
        return Network(self._answers.ssid, password)

    async def mend_network(self, tried: Network | None, cause: str) -> Network | None:
        password = self._answers.next_password()
        ssid = tried.ssid if tried is not None else self._answers.ssid
        if cause != "wrong_password" or password is None or ssid is None:
            return None
        return Network(ssid, password)

    async def enrolment_code(self, *, refused: bool) -> str | None:
        return self._answers.code()


def _awaited(device_id: str, kinds: Sequence[str]) -> str:
    ways = {
        "code": "type an enrolment code into the device",
        "totp": "type a code of your authenticator app into the device",
        "sms": "type the code that is sent to your phone into the device",
        "approval": f"approve it: admit devices approve {device_id}",
    }
    return "The device waits for a second factor: " + ", or ".join(ways.get(kind, kind) for kind in kinds) + "."


def _choose(seen: Sequence[SeenNetwork]) -> str:
    if not seen:
        return str(click.prompt("The device sees no network. Name of the network"))
    click.echo("The device sees these networks:")
    for number, network in enumerate(seen, 1):
        bars = BARS[: network.bars].ljust(len(BARS))
        click.echo(f"  {number:2}  {bars}  {network.ssid}{'  (open)' if network.open else ''}")
    choice = click.prompt("Which one", type=click.IntRange(1, len(seen)), default=1)
    return seen[choice - 1].ssid


def _as_object(network: SeenNetwork) -> dict[str, object]:
    return {"ssid": network.ssid, "signal_dbm": network.signal_dbm, "open": network.open}


def _read_passwords(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}).") from None
