"""`admit relay`."""

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from admittance.cli.output import config_option, emit, json_option
from admittance.server.app import build_relay
from admittance.server.clock import system_clock
from admittance.server.config import Config, load_config
from admittance.server.logs import configure_logs
from admittance.server.memory import freeze
from admittance.server.relay.capture import Capture


@click.command()
@config_option
@click.option(
    "--capture",
    "capture_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append every frame that this node sees in clear to a file (JSON Lines): what a relay can know.",
)
@json_option
def relay(config_path: Path | None, capture_path: Path | None, as_json: bool) -> None:
    """Run a relay node alone, beside a server with the same database, keys and bus.

    `admit serve` has one in its own process; further nodes take more devices and apps. SIGTERM stops it: everybody
    who is connected is told when to come back.

    \b
    Examples:
      admit relay --config /etc/admittance.toml
      admit relay --capture frames.jsonl
    """
    config = load_config(config_path)
    configure_logs(config.log.format, config.log.level)
    capture = Capture(capture_path, system_clock) if capture_path else None
    uvloop.run(_relay(config, capture, as_json))


async def _relay(config: Config, capture: Capture | None, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await build_relay(config, capture).run(stop, lambda: _ready(config, as_json))


def _ready(config: Config, as_json: bool) -> None:
    freeze()
    addresses = {"app_relay": list(config.app_relay_urls), "device_relay": list(config.device_relay_urls)}
    if as_json:
        emit({"event": "ready", **addresses}, as_json=True)
        return
    for name, urls in addresses.items():
        listening = getattr(config.listen, name)
        click.echo(f"{name.replace('_', ' '):>13}: {', '.join(urls)} (listening on {listening})")
    click.echo("Ready. Stop with Ctrl-C.")
