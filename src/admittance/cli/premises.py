"""`admit premises`: run the simulated premises, look at them, and change them as their owner would."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TextIO

import click

from admittance.cli.output import emit, json_option
from admittance.premises import config
from admittance.premises.server import PremisesServer
from admittance.premises.station import Observer

socket_option = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    required=True,
    help="Unix socket of the premises process.",
)


@click.group()
def premises() -> None:
    """Simulate premises: networks that devices and phones can join.

    \b
    Examples:
      admit premises run --file premises.toml --socket /tmp/premises.sock
      admit premises list --socket /tmp/premises.sock
      admit premises set-passphrase Home --socket /tmp/premises.sock
    """


@premises.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="premises.toml with the networks and the uplink.",
)
@socket_option
@click.option(
    "--air",
    "air_path",
    type=click.Path(path_type=Path),
    help="Unix socket of the Bluetooth controllers, named unix:PATH by devices and apps. Without it there is none.",
)
@json_option
def run(path: Path, socket_path: Path, air_path: Path | None, as_json: bool) -> None:
    """Run the premises until SIGTERM or SIGINT. Prints one line when stations can attach."""
    asyncio.run(_run(config.load(path), socket_path, air_path, as_json))


@premises.command("set-passphrase")
@click.argument("ssid")
@click.option(
    "--passphrase-file",
    type=click.File(encoding="utf-8"),
    help="Read the new passphrase from the first line of a file, - for stdin. Asked for when left out.",
)
@socket_option
@json_option
def set_passphrase(ssid: str, passphrase_file: TextIO | None, socket_path: Path, as_json: bool) -> None:
    """Change the passphrase of the network SSID. Its stations lose it."""
    if passphrase_file is None:
        passphrase = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True)
    else:
        passphrase = passphrase_file.readline().rstrip("\r\n")
    asyncio.run(_set_passphrase(socket_path, ssid, passphrase))
    emit({"ssid": ssid, "changed": True}, as_json)


@premises.command("take-down")
@click.argument("ssid")
@socket_option
@json_option
def take_down(ssid: str, socket_path: Path, as_json: bool) -> None:
    """Take the network SSID off the air."""
    asyncio.run(_take_down(socket_path, ssid))
    emit({"ssid": ssid, "on_air": False}, as_json)


@premises.command("bring-up")
@click.argument("ssid")
@socket_option
@json_option
def bring_up(ssid: str, socket_path: Path, as_json: bool) -> None:
    """Put the network SSID back on the air."""
    asyncio.run(_bring_up(socket_path, ssid))
    emit({"ssid": ssid, "on_air": True}, as_json)


@premises.command("list")
@socket_option
@json_option
def list_stations(socket_path: Path, as_json: bool) -> None:
    """List the attached stations and the networks that they are on."""
    stations = asyncio.run(_stations(socket_path))
    if as_json:
        emit({"stations": stations}, as_json)
        return
    for station in stations:
        access_point = f", runs {station['access_point']}" if station["access_point"] else ""
        emit(f"{station['name']}: on {station['joined'] or 'no network'}{access_point}", as_json)


async def _run(premises_config: config.Premises, socket_path: Path, air_path: Path | None, as_json: bool) -> None:
    server = PremisesServer(premises_config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        await server.start(socket_path)
        stack.push_async_callback(server.close)
        if air_path is not None:
            await _open_air(air_path, stack)
        emit({"ready": str(socket_path)}, as_json)
        await stop.wait()


async def _open_air(path: Path, stack: contextlib.AsyncExitStack) -> None:
    from admittance.premises.air import Air

    air = Air()
    await air.start(path)
    stack.push_async_callback(air.close)


async def _set_passphrase(socket_path: Path, ssid: str, passphrase: str) -> None:
    async with contextlib.aclosing(await Observer.attach(socket_path)) as observer:
        await observer.set_passphrase(ssid, passphrase)


async def _take_down(socket_path: Path, ssid: str) -> None:
    async with contextlib.aclosing(await Observer.attach(socket_path)) as observer:
        await observer.take_down(ssid)


async def _bring_up(socket_path: Path, ssid: str) -> None:
    async with contextlib.aclosing(await Observer.attach(socket_path)) as observer:
        await observer.bring_up(ssid)


async def _stations(socket_path: Path) -> list[dict[str, object]]:
    async with contextlib.aclosing(await Observer.attach(socket_path)) as observer:
        return [
            {
                "name": station.name,
                "cellular": station.cellular,
                "joined": station.joined or None,
                "access_point": station.access_point or None,
                "streams": station.streams,
            }
            for station in await observer.stations()
        ]
