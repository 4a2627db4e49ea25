"""A diagnostic: everything that a node sees in clear, in a file. What is in it are CoAP messages under OSCORE."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from admittance.wire import base64url, relay


class Capture:
    """Appends one JSON object a line: time (Unix), direction, device, stream, type, and data in base64url."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        path.touch(mode=0o600)
        self._file = path.open("a", encoding="ascii")
        self._clock = clock

    def from_device(self, device_id: str, batch: bytes) -> None:
        self._frames("from_device", device_id, batch)

    def to_device(self, device_id: str, batch: bytes) -> None:
        self._frames("to_device", device_id, batch)

    def close(self) -> None:
        self._file.close()

    def _frames(self, direction: str, device_id: str, batch: bytes) -> None:
        for frame in relay.decode_frames(batch):
            self._write(
                direction=direction,
                device_id=device_id,
                stream=frame.stream,
                type=frame.type,
                data=base64url.encode(frame.payload),
            )

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps({"time": self._clock(), **line}) + "\n")
        self._file.flush()
