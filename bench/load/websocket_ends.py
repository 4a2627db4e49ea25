"""The client's side of a WebSocket (RFC 6455) for ends under load."""

from abc import abstractmethod

from bench.load.ends import End

_MASK = b"\x5a\x13\xc7\x88"
_TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9


class WebSocketEnd(End):
    """Upgrades, answers pings and hands binary messages, which are not fragmented, to `take_message`."""

    def __init__(self, path: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__()
        self._path = path
        self._headers = headers
        self._is_open = False

    @abstractmethod
    def opened(self) -> None:
        """The upgrade is done."""

    @abstractmethod
    def take_message(self, message: bytes) -> None:
        """A message came."""

    def greeting(self) -> bytes:
        headers = "".join(f"{name}: {value}\r\n" for name, value in self._headers)
        return (
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        ).encode()

    def take(self, data: bytes) -> bytes:
        if self._is_open:
            return self._take_frames(data)
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            return data
        if not head.startswith(b"HTTP/1.1 101"):
            self.fail(ConnectionRefusedError(f"{self._path} answered {data[:200]!r}"))
            return b""
        self._is_open = True
        self.opened()
        return self._take_frames(rest)

    def _take_frames(self, data: bytes) -> bytes:
        position, end = 0, len(data)
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + size > end:
                break
            kind = data[position] & 15
            position = start + size
            if kind in (_BINARY, _TEXT):
                self.take_message(data[start:position])
            elif kind == _PING:
                self.write(frame(data[start:position], kind=10))
            elif kind == _CLOSE:
                self.fail(ConnectionAbortedError(f"{self._path} was closed: {data[start:position]!r}"))
                return b""
        return data[position:]


def frame(message: bytes, kind: int = _BINARY) -> bytes:
    """A whole message of a client, masked."""
    size = len(message)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(message, "big") ^ mask).to_bytes(size, "big")
    return bytes((0x80 | kind,)) + length + _MASK + masked
