"""The devices that this app met: which key each has, and where it is to be found."""

from pathlib import Path
from typing import Literal

import msgspec

from admittance.client.channel.cards import DeviceCard
from admittance.client.private_files import read_private, write_private
from admittance.errors import ConfigurationError, Conflict, NotFound
from admittance.wire.device_id import check_device_id
from admittance.wire.evidence import Evidence

DIRECTORY = "devices"


class KnownDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`channel` is the device's key (SubjectPublicKeyInfo), pinned when the app stood before the device or was
    introduced to it. `origin` is the server that it is connected to, empty where nobody told. `admission` waits
    until the device has taken it; empty otherwise.
    """

    v: Literal[1] = 1
    device_id: str
    origin: str
    channel: bytes
    epoch: int
    name: str
    relay_urls: list[str] = []
    admission: bytes = b""

    @classmethod
    def of_evidence(cls, evidence: Evidence, epoch: int) -> "KnownDevice":
        """A device whose evidence came in a session that its possession code proved."""
        return cls(
            device_id=evidence.device_id,
            origin=evidence.server_origin,
            channel=evidence.public_keys.channel,
            epoch=epoch,
            name=evidence.claims.model,
        )

    @classmethod
    def of_card(cls, card: DeviceCard) -> "KnownDevice":
        return cls(
            device_id=card.device_id,
            origin=card.origin,
            channel=card.channel,
            epoch=card.epoch,
            name=card.name,
            relay_urls=card.relay_urls,
            admission=card.admission,
        )

    def card(self, admission: bytes = b"") -> DeviceCard:
        """Introduces the device to another app."""
        return DeviceCard(
            self.device_id, self.origin, self.channel, self.epoch, self.name, self.relay_urls, admission
        )


class KnownDevices:
    """A profile's devices, each in a file of mode 0600."""

    def __init__(self, profile: Path) -> None:
        self._directory = profile / DIRECTORY

    def find(self, device_id: str) -> KnownDevice:
        """Raises `NotFound` with the next step, `ConfigurationError` for a damaged file."""
        path = self._path(device_id)
        try:
            return msgspec.json.decode(read_private(path), type=KnownDevice)
        except NotFound:
            raise NotFound(
                f"This app does not know {device_id}. Set the device up (admit provision), have an app that knows it "
                "let this one in (admit credentials add), or use its recovery kit (admit credentials recover)."
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(f"{path} is damaged. Delete it, and set the device up again.") from None

    def named(self, name: str) -> KnownDevice:
        """The one device of that name. Raises `NotFound`, or `Conflict` where several have it."""
        found = [device for device in self.all() if device.name.casefold() == name.casefold()]
        if not found:
            raise NotFound(f"This app knows no device {name!r}. Give its id, as admit devices list shows it.")
        if len(found) > 1:
            ids = ", ".join(device.device_id for device in found)
            raise Conflict(f"Several devices are called {name!r}; give the id of one: {ids}")
        return found[0]

    def all(self) -> list[KnownDevice]:
        """Raises `ConfigurationError` for a damaged file."""
        return [self.find(path.stem) for path in sorted(self._directory.glob("AD*.json"))]

    def keep(self, device: KnownDevice) -> None:
        """Remember a device in place of what was known of it. Raises `ConfigurationError`."""
        write_private(self._path(device.device_id), msgspec.json.encode(device))

    def forget(self, device_id: str) -> None:
        self._path(device_id).unlink(missing_ok=True)

    def _path(self, device_id: str) -> Path:
        return self._directory / f"{check_device_id(device_id)}.json"
