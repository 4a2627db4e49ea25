"""`admit serve`."""

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from admittance.cli.output import config_option, emit, json_option
from admittance.server.app import PEOPLE_CA_FILE, build
from admittance.server.config import Config, load_config
from admittance.server.logs import configure_logs
from admittance.server.memory import freeze


@click.command()
@config_option
@json_option
def serve(config_path: Path | None, as_json: bool) -> None:
    """Run the server: people, first contact and device listeners and a relay node in one process.

    Keys, certificates and the database are made at the first start. SIGTERM stops it.

    \b
    Examples:
      admit serve
      admit serve --config /etc/admittance.toml
    """
    config = load_config(config_path)
    configure_logs(config.log.format, config.log.level)
    uvloop.run(_serve(config, as_json))


async def _serve(config: Config, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await build(config).run(stop, lambda: _announce(config, as_json))


def _announce(config: Config, as_json: bool) -> None:
    freeze()
    addresses = {
        "people": config.server.origin,
        "first_contact": config.first_contact_url,
        "device": config.device_url,
    }
    if config.has_relay:
        addresses |= {"app_relay": config.app_relay_urls[0], "device_relay": config.device_relay_urls[0]}
    if config.mtls_url:
        addresses["mtls"] = config.mtls_url
    if as_json:
        emit({"event": "ready", **addresses, "data_dir": str(config.data_dir)}, as_json=True)
        return
    for name, url in addresses.items():
        listening = getattr(config.listen, name)
        click.echo(f"{name.replace('_', ' '):>13}: {url} (listening on {listening})")
    if not config.tls.cert_file:
        click.echo(f"People's clients trust this server by {config.data_dir / PEOPLE_CA_FILE}")
    click.echo("Ready. Stop with Ctrl-C.")
