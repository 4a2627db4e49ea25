"""`admit device`: run the agent, press its button, reset it, look at it."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import click

from admittance.cli.device_enrol import code, enrol
from admittance.cli.output import emit, json_option
from admittance.device.control import ask
from admittance.device.keys import load_birth, read_birth
from admittance.device.program import Options, become

FOLDER = click.Path(file_okay=False, path_type=Path)
STATE = click.option("--state", type=FOLDER, required=True, help="The device's memory.")


@click.group()
def device() -> None:
    """Run and control a device's agent."""


device.add_command(code)
device.add_command(enrol)


@device.command()
@click.option(
    "--birth",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="What the maker put into the device: birth.json, with identity.key or a TPM.",
)
@STATE
@click.option("--premises", type=click.Path(path_type=Path), required=True, help="Socket of the simulated premises.")
@click.option(
    "--display", default="terminal", show_default=True, help="Where codes show: terminal, png:FILE or none."
)
@click.option("--rotation-s", type=click.FloatRange(min=1), default=60, show_default=True, help="A code's time.")
@click.option(
    "--grace-s", type=click.FloatRange(min=0), default=90, show_default=True, help="How long it is good afterwards."
)
@click.option(
    "--open-s",
    type=click.FloatRange(min=1),
    default=300,
    show_default=True,
    help="How long the access point stays open after power-up or a press.",
)
@click.option(
    "--linger-s",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="How long it stays open after the device is enrolled.",
)
@click.option(
    "--poll-s", type=click.FloatRange(min=0.1), default=60, show_default=True, help="Status request period."
)
@click.option(
    "--qr",
    "qr_form",
    type=click.Choice(["stock", "url"]),
    default="stock",
    show_default=True,
    help="JSON of the stock apps, or a URL with the code in its fragment.",
)
@click.option(
    "--application",
    default="",
    metavar="climate|lock|monitor|FILE.py",
    help="What the device is there for; climate:FOLDER measures with Linux's hwmon.",
)
@click.option("--local", default="", metavar="ADDRESS:PORT", help="Talk on the local network, too (UDP and mDNS).")
@click.option(
    "--readings-s",
    type=click.FloatRange(min=0.1),
    default=60,
    show_default=True,
    help="How long readings are collected before they go to the server.",
)
@click.option("--relay-plain", is_flag=True, help="Reach the relay without TLS, as a device that can't do it.")
@click.option(
    "--ble", default="", metavar="CONTROLLER", help="Talk over Bluetooth, too: usb:0, hci-socket:0 or unix:AIR.sock."
)
@click.option("--tcti", default="", help="Where the device's TPM is, such as device:/dev/tpmrm0, if not as made.")
@json_option
def run(
    birth: Path,
    state: Path,
    premises: Path,
    display: str,
    rotation_s: float,
    grace_s: float,
    open_s: float,
    linger_s: float,
    poll_s: float,
    qr_form: str,
    application: str,
    local: str,
    readings_s: float,
    relay_plain: bool,
    ble: str,
    tcti: str,
    as_json: bool,
) -> None:
    """Run a device until it is stopped. Events go to standard error, one a line.

    \b
    Example:
      admit device run --birth out/ADX7… --state lamp --premises premises.sock --display png:lamp.png
      admit device run --birth out/ADX7… --state door --premises premises.sock --application lock
    """
    if read_birth(birth).tpm is None:
        load_birth(birth)
    kind, png = _display(display)
    become(
        Options(
            birth=str(birth),
            state=str(state),
            premises=str(premises),
            display=kind,
            png=png,
            rotation_s=rotation_s,
            grace_s=grace_s,
            open_s=open_s,
            linger_s=linger_s,
            poll_s=poll_s,
            qr_form="url" if qr_form == "url" else "stock",
            json_logs=as_json,
            tcti=tcti,
            application=application,
            local=local,
            batch_s=readings_s,
            relay_plain=relay_plain,
            ble=ble,
        )
    )


@device.command()
@STATE
@json_option
def press(state: Path, as_json: bool) -> None:
    """Press the button: opens the access point for five minutes."""
    emit(_ask(state, "press"), as_json)


@device.command()
@STATE
@json_option
def reset(state: Path, as_json: bool) -> None:
    """Factory reset: forget owner, network and certificates; keep the identity."""
    emit(_ask(state, "reset"), as_json)


@device.command()
@STATE
@json_option
def status(state: Path, as_json: bool) -> None:
    """Show who the device is and how it is doing."""
    emit(_ask(state, "status"), as_json)


def _ask(state: Path, command: str) -> dict[str, Any]:
    return asyncio.run(ask(state, command))


def _display(text: str) -> tuple[Literal["terminal", "png", "none"], str]:
    kind, _, argument = text.partition(":")
    match kind, argument:
        case "terminal", "":
            return "terminal", ""
        case "none", "":
            return "none", ""
        case "png", path if path:
            return "png", path
    raise click.BadParameter("Choose terminal, png:FILE or none.", param_hint="--display")
