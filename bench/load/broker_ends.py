"""Ends at nats-server, over its WebSocket, and at mosquitto: each publishes to one subject and subscribes to one."""

from bench.load.ends import MARK, End, payload
from bench.load.websocket_ends import WebSocketEnd, frame


class NatsEnd(WebSocketEnd):
    """NATS's client protocol: lines of text in binary messages, as many as there are in one."""

    def __init__(self, *, publishes: str, subscribes: str) -> None:
        super().__init__("/")
        self._subscribes = subscribes
        content = payload()
        self._line = f"PUB {publishes} {len(content)}\r\n".encode() + content + b"\r\n"
        self._lines: dict[int, bytes] = {}

    def opened(self) -> None:
        connect = '{"verbose":false,"pedantic":false,"lang":"bench","version":"1","protocol":1}'
        self.write(frame(f"CONNECT {connect}\r\nSUB {self._subscribes} 1\r\nPING\r\n".encode()))

    def messages(self, count: int) -> bytes:
        if count not in self._lines:
            self._lines[count] = frame(self._line * count)
        return self._lines[count]

    def take_message(self, message: bytes) -> None:
        count = message.count(MARK)
        if count:
            self.took(count)
        elif message.startswith(b"PING"):
            self.write(frame(b"PONG\r\n"))
        elif message.startswith(b"PONG"):
            self.is_ready()
        elif message.startswith(b"-ERR"):
            self.fail(ConnectionAbortedError(f"NATS says {message!r}"))


class MqttEnd(End):
    """MQTT 3.1.1 with quality of service 0."""

    def __init__(self, *, publishes: str, subscribes: str, name: str) -> None:
        super().__init__()
        self._name = name
        self._subscribes = subscribes
        self._publish = _packet(0x30, _text(publishes) + payload())

    def greeting(self) -> bytes:
        connect = _packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text(self._name))
        return connect + _packet(0x82, b"\x00\x01" + _text(self._subscribes) + b"\x00")

    def messages(self, count: int) -> bytes:
        return self._publish * count

    def take(self, data: bytes) -> bytes:
        position, end, count = 0, len(data), 0
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size & 0x80:
                if start == end:
                    break
                size, start = size & 0x7F | data[start] << 7, start + 1
            if start + size > end:
                break
            kind = data[position] >> 4
            position = start + size
            if kind == 3:
                count += 1
            elif kind == 9:
                self.is_ready()
        if count:
            self.took(count)
        return data[position:]


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def _packet(kind: int, content: bytes) -> bytes:
    """A control packet of at most 16,383 bytes (MQTT 3.1.1, section 2.2.3)."""
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
    return bytes((kind,)) + length + content
