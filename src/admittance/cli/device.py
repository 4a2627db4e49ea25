"""`admit device`: run the agent, press its button, reset it, look at it."""

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from admittance.cli.output import emit, json_option
from admittance.device import agent
from admittance.device.control import ask
from admittance.device.display.png import PngDisplay
from admittance.device.display.port import Display, NoDisplay
from admittance.device.display.terminal import TerminalDisplay
from admittance.device.keys import load_birth
from admittance.device.life import Settings
from admittance.device.log import LineLog
from admittance.device.onboarding import Times
from admittance.device.radio.simulated import SimulatedRadio
from admittance.errors import ConfigurationError

FOLDER = click.Path(file_okay=False, path_type=Path)
STATE = click.option("--state", type=FOLDER, required=True, help="The device's memory.")


@click.group()
def device() -> None:
    """Run and control a device's agent."""


@device.command()
@click.option(
    "--birth",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="What the maker put into the device: birth.json and identity.key.",
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
    as_json: bool,
) -> None:
    """Run a device until it is stopped. Events go to standard error, one a line.

    \b
    Example:
      admit device run --birth out/ADX7… --state lamp --premises premises.sock --display png:lamp.png
    """
    made = load_birth(birth)
    screen = _display(display)
    settings = Settings(
        times=Times(rotation_s=rotation_s, grace_s=grace_s, open_s=open_s, linger_s=linger_s),
        qr_form="url" if qr_form == "url" else "stock",
        poll_s=poll_s,
    )
    log = LineLog(sys.stderr, time.monotonic, as_json=as_json)

    async def main() -> None:
        radio = await SimulatedRadio.attach(premises, made.birth.device_id)
        try:
            await agent.run(made, state=state, radio=radio, display=screen, log=log, settings=settings)
        finally:
            await radio.close()

    asyncio.run(_until_told(main()))


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


def _display(text: str) -> Display:
    kind, _, argument = text.partition(":")
    match kind, argument:
        case "terminal", "":
            return TerminalDisplay(sys.stdout)
        case "none", "":
            return NoDisplay()
        case "png", path if path:
            return PngDisplay(Path(path))
    raise click.BadParameter("Choose terminal, png:FILE or none.", param_hint="--display")


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends, or until the process is told to."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
    except OSError as error:
        raise ConfigurationError(f"The disk does not take the device's state: {error.strerror}.") from error
