"""A provisioning under way, on disk: whoever closes the phone between two networks can go on."""

from pathlib import Path
from typing import Literal

import msgspec

from admittance.client.private_files import read_private, write_private
from admittance.errors import ConfigurationError, NotFound

FILE = "provisioning.json"


class RunningProvisioning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it takes to go on: the open transaction and how to enter the device again.

    `sealed` is None until the server answered. `attempt` is the highest try of a network that was sent.
    `network_name` is the network that the server manages, None when the phone's person gives it.
    """

    v: Literal[1] = 1
    origin: str
    device_id: str
    access_point_ssid: str
    access_point_passphrase: str
    challenge: bytes
    evidence: bytes
    binding: bytes
    transaction_id: bytes
    resume_code: bytes
    app_key: bytes
    network_name: str | None
    expires_at: int
    purpose: str = ""
    sealed: bytes | None = None
    second_factor: tuple[str, ...] = ()
    attempt: int = 0

    def __repr__(self) -> str:
        return f"RunningProvisioning(device_id={self.device_id!r})"


class StateFile:
    """The one provisioning that a profile can have under way, in a file of mode 0600."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def save(self, running: RunningProvisioning) -> None:
        """Raises `ConfigurationError` when the file can't be written."""
        write_private(self._path, msgspec.json.encode(running))

    def load(self) -> RunningProvisioning:
        """Raises `NotFound` when nothing is under way, `ConfigurationError` when the file is damaged."""
        try:
            return msgspec.json.decode(read_private(self._path), type=RunningProvisioning)
        except NotFound:
            raise NotFound("No provisioning is under way. Scan the device's code to begin one.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(
                f"{self._path} is damaged. Delete it, and scan the device's code again."
            ) from None

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
