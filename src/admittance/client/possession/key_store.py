"""The possession keys of a profile: one for each device, in a file of mode 0600."""

from pathlib import Path
from typing import Literal

import msgspec

from admittance.client.private_files import read_private, write_private
from admittance.errors import ConfigurationError, Conflict, NotFound
from admittance.protocol.access.authz_info import PossessionKey
from admittance.wire.device_id import check_device_id

DIRECTORY = "keys"


class HeldKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token, by reference or an offline one, with its master secret, for one device of the server at `origin`.

    `name` is the device's, `grant` the id of the grant, `actions` such as ``PUT /lock``; it ends at `expires_at`
    (Unix time). `relay_urls` are where the device was reached last. `epoch_list` is what the server tells an offline
    device by whoever comes to it.
    """

    v: Literal[1] = 1
    device_id: str
    origin: str
    name: str
    token: bytes
    master_secret: bytes
    grant: str
    actions: list[str]
    expires_at: int
    relay_urls: list[str] = []
    epoch_list: bytes = b""

    def __repr__(self) -> str:
        return f"HeldKey(device_id={self.device_id!r}, grant={self.grant!r}, expires_at={self.expires_at})"

    @property
    def key(self) -> PossessionKey:
        """What opens a channel."""
        return PossessionKey(self.token, self.master_secret)


class KeyStore:
    """See the module."""

    def __init__(self, profile: Path) -> None:
        self._directory = profile / DIRECTORY

    def find(self, device_id: str) -> HeldKey:
        """Raises `NotFound` with the next step, `ConfigurationError` for a damaged file."""
        path = self._path(device_id)
        try:
            return msgspec.json.decode(read_private(path), type=HeldKey)
        except NotFound:
            raise NotFound(f"This app has no key of {device_id}. Ask for one under your access to it.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(f"{path} is damaged. Delete it, and ask for another key.") from None

    def named(self, name: str) -> HeldKey:
        """The key of the one device of that name. Raises `NotFound`, or `Conflict` where several have it."""
        found = [key for key in self.all() if key.name.casefold() == name.casefold()]
        if not found:
            raise NotFound(f"This app has no key of a device {name!r}. Give the device's id.")
        if len(found) > 1:
            ids = ", ".join(key.device_id for key in found)
            raise Conflict(f"Several devices are called {name!r}; give the id of one: {ids}")
        return found[0]

    def all(self) -> list[HeldKey]:
        """Raises `ConfigurationError` for a damaged file."""
        return [self.find(path.stem) for path in sorted(self._directory.glob("AD*.json"))]

    def keep(self, key: HeldKey) -> None:
        """Keep a key in place of the one before for its device. Raises `ConfigurationError`."""
        write_private(self._path(key.device_id), msgspec.json.encode(key))

    def forget(self, device_id: str) -> None:
        """Forget the key of a device, if there is one."""
        self._path(device_id).unlink(missing_ok=True)

    def _path(self, device_id: str) -> Path:
        return self._directory / f"{check_device_id(device_id)}.json"
