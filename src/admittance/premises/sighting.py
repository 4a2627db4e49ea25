"""What a station sees of a network."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sighting:
    """A network as a scan shows it. The `bssid` (6 bytes) stays the same for the life of the network."""

    ssid: str
    bssid: bytes
    channel: int
    signal_dbm: int
    auth: Literal["open", "wpa2"]
