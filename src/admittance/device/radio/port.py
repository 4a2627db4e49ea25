"""The radio of a device, as the agent sees it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Auth: TypeAlias = Literal["open", "wpa2"]
OnConnection: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class VisibleNetwork:
    """One network of a scan. `bssid` has 6 bytes, `signal_dbm` is negative."""

    ssid: str
    bssid: bytes
    channel: int
    signal_dbm: int
    auth: Auth


class Radio(Protocol):
    """A Wi-Fi radio that joins one network at a time and may run one access point beside it."""

    @property
    def joined(self) -> str | None:
        """The SSID of the network that the device is on, or None, also after the network was lost."""

    async def scan(self) -> tuple[VisibleNetwork, ...]:
        """What is in range, strongest first; the device's own access point is not among it."""

    async def join(self, ssid: str, passphrase: str) -> None:
        """Leave the present network, which ends its streams at once, and join `ssid`.

        An empty passphrase means an open network. Raises `JoinFailed` with the cause; the device is then on no
        network.
        """

    async def leave(self) -> None:
        """Leave the present network, if there is one. Every stream through it ends at once."""

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a host through the joined network. Raises `Unreachable`."""

    async def open_access_point(self, ssid: str, passphrase: str, on_connection: OnConnection) -> None:
        """Open the device's own access point; `on_connection` serves each stream to 192.168.4.1:80."""

    async def close_access_point(self) -> None:
        """Close the access point, if it is open. Every stream through it ends at once."""

    async def close(self) -> None:
        """Switch the radio off."""
