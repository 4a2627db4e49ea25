"""What the commands that open a channel to a device share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from admittance.cli.devices_life import device_id_of
from admittance.client.channel.connecting import connect
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.possession.connecting import connect_with_key
from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.client.session_store import SessionStore
from admittance.errors import Malformed, NotFound

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

local_option = click.option(
    "--local", is_flag=True, help="Over the local network alone: no server and no login are needed."
)


def known_device(store: SessionStore, text: str) -> KnownDevice:
    """The device of an id, a setup code's URL, or a name. Raises `NotFound`, `Conflict`."""
    try:
        device_id = device_id_of(text)
    except Malformed:
        return store.devices.named(text)
    return store.devices.find(device_id)


def any_device_id(store: SessionStore, text: str) -> str:
    """An id, one in a setup code's URL, or that of a device which the profile knows by name."""
    try:
        return device_id_of(text)
    except Malformed:
        return known_device(store, text).device_id


def with_channel(
    store: SessionStore, device: str, local: bool, work: Callable[[DeviceChannel, KnownDevice], Awaitable[T]]
) -> T:
    """Run `work` with a channel to the device. Raises what `connect` and `work` raise."""
    known = known_device(store, device)

    async def run() -> T:
        async with connect(store, known.device_id, local=local, told=_tell) as channel:
            return await work(channel, known)

    return asyncio.run(run())


@dataclass(frozen=True)
class Target:
    """A device as a person named it, and the Bluetooth controller to reach it by, or nothing."""

    device: str
    ble: str = ""


def with_device(store: SessionStore, to: Target, local: bool, work: Callable[[DeviceChannel], Awaitable[T]]) -> T:
    """Run `work` with a channel to a device that the profile knows, or else by the key that it has of the device.

    Raises `NotFound` where it has neither, and what opening the channel and `work` raise.
    """
    try:
        known = known_device(store, to.device)
        opening = connect(store, known.device_id, local=local, ble=to.ble, told=_tell)
    except NotFound:
        held = held_key(store, to.device)
        if held is None:
            raise
        opening = connect_with_key(store, held, local=local, ble=to.ble, told=_tell)

    async def run() -> T:
        async with opening as channel:
            return await work(channel)

    return asyncio.run(run())


def held_key(store: SessionStore, text: str) -> HeldKey | None:
    """The key that the profile has of the device of an id, a setup code's URL, or a name. Raises `Conflict`."""
    keys = KeyStore(store.directory)
    try:
        device_id = device_id_of(text)
    except Malformed:
        device_id = ""
    try:
        return keys.find(device_id) if device_id else keys.named(text)
    except NotFound:
        return None


def _tell(text: str) -> None:
    click.echo(text, err=True)
