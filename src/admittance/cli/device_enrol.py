"""`admit device enrol` and `admit device code`: what a person does at the device itself."""

import asyncio
import time
from pathlib import Path
from typing import Any, TextIO

import click

from admittance.cli.output import emit, json_option
from admittance.cli.secret_input import read_password
from admittance.device.control import ask
from admittance.errors import FactorRefused, FactorRequired, Unavailable

STATE = click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="The device's memory."
)
POLL_S = 0.3


@click.command()
@STATE
@json_option
def code(state: Path, as_json: bool) -> None:
    """Have this enrolled device make an enrolment code, good once for another device of its owner.

    \b
    Example:
      admit device code --state lamp
    """
    made = _ask(state, "code")
    emit(made if as_json else f"{made['code']}   (good once, for ten minutes)", as_json)


@click.command()
@STATE
@click.option("--code", help="An enrolment code.")
@click.option("--totp", is_flag=True, help="A code of the owner's authenticator app, which is asked for.")
@click.option("--sms", is_flag=True, help="A code that is sent to the owner's phone, and asked for.")
@click.option("--approval", is_flag=True, help="Ask for the owner's approval.")
@click.option(
    "--login", "email", is_flag=False, flag_value="", help="Log in at this device with a keyboard, as EMAIL."
)
@click.option("--network", "ssid", help="With --login: join this network first.")
@click.option("--network-password-file", type=click.File("r"), help="Its password; asked for when left out.")
@click.option("--password-file", type=click.File("r"), help="The account's password; asked for when left out.")
@click.option("--code-file", type=click.File("r"), help="The one-time code; asked for when left out.")
@click.option("--start-only", is_flag=True, help="With --login or --sms: have the code sent, and hand it in later.")
@click.option("--wait-s", type=click.FloatRange(min=0), default=60, show_default=True, help="How long to wait.")
@json_option
def enrol(
    state: Path,
    code: str | None,
    totp: bool,
    sms: bool,
    approval: bool,
    email: str | None,
    ssid: str | None,
    network_password_file: TextIO | None,
    password_file: TextIO | None,
    code_file: TextIO | None,
    start_only: bool,
    wait_s: float,
    as_json: bool,
) -> None:
    """Give this device the second factor of its enrolment, or log in at it.

    \b
    Examples:
      admit device enrol --state lamp --code 7F3K-9Q2M
      admit device enrol --state panel --login ann@example.org --network Home
    """
    if sum((code is not None, totp, sms, approval, email is not None)) > 1:
        raise click.UsageError("Give one of --code, --totp, --sms, --approval and --login.")
    if ssid is not None:
        passphrase = read_password(network_password_file, f"Password of {ssid}")
        _ask(state, "network", ssid=ssid, passphrase=passphrase)
    kind = "totp" if totp else "sms" if sms or email is not None else "approval" if approval else "code"
    if email is not None:
        address = email or click.prompt("Email address")
        _ask(state, "login", email=address, password=read_password(password_file, "Password"))
    elif sms and code_file is None:
        _ask(state, "factor", kind="sms", value="")
    if start_only:
        emit({"started": kind} if as_json else "If all is right, a code was sent to the account's phone.", as_json)
        return
    value = code or ""
    if not value and kind != "approval":
        value = code_file.readline().strip() if code_file is not None else str(click.prompt("Code")).strip()
    _ask(state, "factor", kind=kind, value=value)
    status = _wait(state, wait_s)
    emit(status if as_json else f"{status['device_id']} is enrolled.", as_json)


def _wait(state: Path, wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        status = _ask(state, "status")
        if status["enrolled"]:
            return status
        if status["factor"] == "factor_refused":
            raise FactorRefused("The server refused it: the code (or the login) is wrong, outdated or used.")
        if status["factor"] == "factor_required":
            raise FactorRequired(tuple(status["factors"]))
        if time.monotonic() >= deadline:
            raise Unavailable("The device is not enrolled yet. It goes on by itself: admit device status")
        time.sleep(POLL_S)


def _ask(state: Path, command: str, **arguments: str) -> dict[str, Any]:
    return asyncio.run(ask(state, command, **arguments))
