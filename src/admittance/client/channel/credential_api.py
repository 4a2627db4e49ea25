"""The list of apps that a device lets in, read and changed over a channel to it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from admittance.client.channel.app_keys import AppKeys
from admittance.client.channel.cards import AppCard
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.channel.recovery_kit import RecoveryKit
from admittance.errors import Conflict, Malformed, NotFound
from admittance.protocol.channel.admission import sign_admission
from admittance.protocol.signing import spki_of
from admittance.wire import message
from admittance.wire.channel import Admission, Entry, Permission, Role, kid_of
from admittance.wire.coap import formats

PATH = "/credentials"
SERIAL_BYTES = 16


@dataclass(frozen=True)
class ListedApp:
    """A line of the list: `kid` is the credential's id (hexadecimal), `expires_at` a Unix time, 0 for never."""

    kid: str
    role: str
    name: str
    expires_at: int


class CredentialApi:
    """Calls over an open channel; they raise what `DeviceChannel.get` raises."""

    def __init__(self, channel: DeviceChannel) -> None:
        self._channel = channel

    async def list(self) -> list[ListedApp]:
        """Every app, the server and the recovery kits."""
        rows = (await self._channel.get(PATH)).cbor()
        if not isinstance(rows, list):
            raise Malformed("The device's list of credentials is none.")
        return [_listed(row) for row in rows]

    async def find(self, text: str) -> ListedApp:
        """The one listed app of that id, or of that name.

        Raises `NotFound` where none is, `Conflict` where several apps have the name.
        """
        found = [app for app in await self.list() if text.lower() == app.kid or text == app.name]
        if not found:
            raise NotFound(f"The device lists no {text!r}. See: admit credentials list {self._channel.device_id}")
        if len(found) > 1:
            raise Conflict(f"Several are called {text!r}; give the id of one: {', '.join(app.kid for app in found)}")
        return found[0]

    async def add(self, entry: Entry) -> None:
        await self._channel.post(PATH, Content(message.encode(entry), formats.CBOR))

    async def remove(self, kid: str) -> None:
        await self._channel.delete(f"{PATH}/{kid}")


def entry_of(
    card: AppCard,
    role: Literal["owner", "guest"],
    epoch: int,
    *,
    expires_at: int = 0,
    scope: Sequence[Permission] = (),
) -> Entry:
    """How a device lists an app."""
    signing = card.signing if role == "owner" else b""
    return Entry(card.channel, signing, role, epoch, card.name, expires_at, tuple(scope))


def kit_entry(kit: RecoveryKit, name: str) -> Entry:
    """How a device lists a recovery kit."""
    role: Role = "recovery"
    return Entry(spki_of(kit.key().public_key()), b"", role, kit.epoch, name, 0, ())


def admit_guest(
    device: KnownDevice, keys: AppKeys, card: AppCard, serial: bytes, *, expires_at: int, scope: Sequence[Permission]
) -> bytes:
    """The admission (COSE_Sign1) of a guest, which the guest's app itself hands to the device; `serial` has 16
    random bytes.
    """
    entry = entry_of(card, "guest", device.epoch, expires_at=expires_at, scope=scope)
    admission = Admission(device.device_id, serial, entry, int(time.time()))
    return sign_admission(admission, keys.signer(), kid_of(spki_of(keys.channel.public_key())))


def _listed(row: Any) -> ListedApp:
    match row:
        case [bytes() as kid, str() as role, str() as name, int() as expires_at]:
            return ListedApp(kid.hex(), role, _printable(name), expires_at)
    raise Malformed("The device's list of credentials holds a line that is none.")


def _printable(name: str) -> str:
    """What another app called itself, without anything that would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in name)
