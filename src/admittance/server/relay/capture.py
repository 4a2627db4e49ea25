"""A diagnostic: everything that a node sees in clear, in a file. What is in it are CoAP messages under OSCORE."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from admittance.server.relay.ports import DevicePort, Stream, StreamSink
from admittance.wire import base64url, relay
from admittance.wire.relay import CloseReason


class Capture:
    """Appends one JSON object a line: time (Unix), direction, device and data in base64url; for what devices send and
    get also stream and type."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        path.touch(mode=0o600)
        self._file = path.open("a", encoding="ascii")
        self._clock = clock

    def from_device(self, device_id: str, batch: bytes) -> None:
        self._frames("from_device", device_id, batch)

    def to_device(self, device_id: str, batch: bytes) -> None:
        self._frames("to_device", device_id, batch)

    async def open(self, port: DevicePort, app: StreamSink) -> Stream:
        """Open a stream of an app, and write down what it carries. Raises as `DevicePort.open` does."""
        return _FromApp(self, port.device_id, await port.open(_ToApp(self, port.device_id, app)))

    def fragment(self, direction: str, device_id: str, data: bytes) -> None:
        """Data of an app's stream."""
        self._write(direction=direction, device_id=device_id, data=base64url.encode(data))

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


class _FromApp:
    """The stream, to its app."""

    def __init__(self, capture: Capture, device_id: str, stream: Stream) -> None:
        self._capture = capture
        self._device_id = device_id
        self._stream = stream
        self.credit = stream.credit
        self.close = stream.close

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._capture.fragment("from_app", self._device_id, fragment)
        self._stream.data(fragment, final=final)


class _ToApp:
    """The app, to its stream."""

    def __init__(self, capture: Capture, device_id: str, app: StreamSink) -> None:
        self._capture = capture
        self._device_id = device_id
        self._app = app
        self.credit = app.credit

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._capture.fragment("to_app", self._device_id, fragment)
        self._app.data(fragment, final=final)

    def closed(self, reason: CloseReason) -> None:
        self._app.closed(reason)
