"""What a node counts of its work."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the node's start. Messages to devices may hold many frames; all else counts frames."""

    devices_accepted: int = 0
    devices_refused: int = 0
    apps_accepted: int = 0
    apps_refused: int = 0
    streams_opened: int = 0
    from_devices: int = 0
    to_devices: int = 0
    to_apps: int = 0
    silent: int = 0
