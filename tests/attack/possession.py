"""What guests and attackers do with possession keys at a device that notes its orders."""

import json
import os
from pathlib import Path
from typing import Final

from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.errors import AdmittanceError
from admittance.wire.access import GrantedKey
from tests.access_world import Site
from tests.attack import actuator

ANSWER_S: Final = 10.0


def new_order() -> str:
    return f"order {os.urandom(8).hex()}"


async def give(channel: DeviceChannel, order: str, timeout_s: float = ANSWER_S) -> AdmittanceError | None:
    """Give an order over an open channel; why it was refused, if it was."""
    try:
        await channel.post("/orders", Content.of_text(order), timeout_s=timeout_s)
    except AdmittanceError as error:
        return error
    return None


async def order(site: Site, key: GrantedKey, folder: Path, order: str = "") -> AdmittanceError | None:
    """Give an order in a context of its own; why it came to nothing, if it did."""
    try:
        async with site.near(key, folder) as channel:
            return await give(channel, order or new_order())
    except AdmittanceError as error:
        return error


def carried_out(site: Site) -> list[str]:
    """The orders that the device carried out, by its own notes."""
    path = site.world.state / "application" / actuator.NOTES
    notes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [note["order"] for note in notes if "order" in note]
