"""`admit access`: keys of devices that one was let use."""

import asyncio
import time
from datetime import UTC, datetime

import click

from admittance.cli.channel_options import any_device_id, held_key
from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.possession.asking import ask_for_key
from admittance.client.possession.hints import ask_hints
from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.client.session_store import SessionStore


@click.group()
def access() -> None:
    """Get keys of devices that others let you use; each lasts an hour at most, or as long as you were granted."""


@access.command()
@click.argument("device")
@click.option("--action", "actions", multiple=True, help='Such as "PUT /lock"; else all that a grant allows.')
@click.option("--name", default="", help="What you call the device from now on.")
@click.option(
    "--ble",
    default="",
    metavar="CONTROLLER",
    help="Ask the device over Bluetooth first what it needs in a key: one that has no network and lost the time.",
)
@profile_option
@json_option
def get(device: str, actions: tuple[str, ...], name: str, ble: str, store: SessionStore, as_json: bool) -> None:
    """Get a key of a DEVICE (its id, its setup code or its name) in place of the one before.

    \b
    Examples:
      admit access get ADJBSWY3DPEHPK3PXPJBSW --name front-door
      admit talk put front-door /lock unlocked
      admit access get monitor-1 --ble usb:0
    """
    before = held_key(store, device)
    device_id = before.device_id if before else any_device_id(store, device)
    called = name or (before.name if before else "")
    cnonce = asyncio.run(_nonce(device_id, ble)) if ble else b""
    held = with_client(store, lambda client: ask_for_key(client, device_id, actions, name=called, cnonce=cnonce))
    KeyStore(store.directory).keep(held)
    emit(_shown(held) if as_json else f"You can use {held.name} until {_time(held.expires_at)}.", as_json)


@access.command("list")
@profile_option
@json_option
def list_(store: SessionStore, as_json: bool) -> None:
    """List the keys that you have.

    \b
    Example:
      admit access list
    """
    found = KeyStore(store.directory).all()
    if as_json:
        emit({"keys": [_shown(held) for held in found]}, as_json)
        return
    for held in found:
        ended = "" if held.expires_at > time.time() else " (ended)"
        click.echo(f"{held.device_id}  {held.name}  {', '.join(held.actions)}  until {_time(held.expires_at)}{ended}")


async def _nonce(device_id: str, ble: str) -> bytes:
    """What the device in range wants to see in a key; empty where it knows the time."""
    from admittance.client.channel.ble_link import BleWay

    return (await ask_hints(BleWay(device_id, ble))).cnonce


def _shown(held: HeldKey) -> dict[str, object]:
    """Without the secret."""
    return {
        "device_id": held.device_id,
        "name": held.name,
        "grant": held.grant,
        "actions": held.actions,
        "expires_at": held.expires_at,
    }


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
