"""What travels between a station and the premises over the unix socket.

A control message is one CBOR array behind its length as a 4-byte big-endian integer, at most `MAX_FRAME_BYTES`.
The first frame of a connection tells what it is: a station's control connection (`Attach`), one stream
(`OpenStream`, `AcceptStream`), or an observer (`Administer`). After `Opened` a stream carries raw bytes.
"""

import asyncio
from typing import Annotated, Any, TypeAlias

import msgspec

from admittance.errors import Malformed
from admittance.wire import cbor
from admittance.wire.message import Bytes16, Message, Text, Unsigned, Word, encode

MAX_FRAME_BYTES = 16384

Ssid = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Passphrase = Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Attach(Message, frozen=True, tag="attach"):
    """First frame: bring a station in. Answered by `Attached` or `Failed`."""

    name: Name
    cellular: bool


class OpenStream(Message, frozen=True, tag="open"):
    """First frame: a stream of the station that holds `token`. Answered by `Opened` or `Failed`."""

    token: Bytes16
    host: Host
    port: Port


class AcceptStream(Message, frozen=True, tag="accept"):
    """First frame: the other end of an `Incoming` stream. Answered by `Opened` or `Failed`."""

    token: Bytes16
    stream: Unsigned


class Administer(Message, frozen=True, tag="administer"):
    """First frame: commands of an observer follow."""


Opening: TypeAlias = Attach | OpenStream | AcceptStream | Administer


class Scan(Message, frozen=True, tag="scan"):
    """Answered by `Seen`."""

    request: Unsigned


class Join(Message, frozen=True, tag="join"):
    """Answered by `Done` or `Failed`."""

    request: Unsigned
    ssid: Ssid
    passphrase: Passphrase


class Leave(Message, frozen=True, tag="leave"):
    """Answered by `Done`."""

    request: Unsigned


class OpenAccessPoint(Message, frozen=True, tag="open-access-point"):
    """Answered by `Done` or `Failed`."""

    request: Unsigned
    ssid: Ssid
    passphrase: Passphrase


class CloseAccessPoint(Message, frozen=True, tag="close-access-point"):
    """Answered by `Done`."""

    request: Unsigned


StationRequest: TypeAlias = Scan | Join | Leave | OpenAccessPoint | CloseAccessPoint


class SetPassphrase(Message, frozen=True, tag="set-passphrase"):
    """Answered by `Done` or `Failed`."""

    request: Unsigned
    ssid: Ssid
    passphrase: Passphrase


class TakeDown(Message, frozen=True, tag="take-down"):
    """Answered by `Done` or `Failed`."""

    request: Unsigned
    ssid: Ssid


class BringUp(Message, frozen=True, tag="bring-up"):
    """Answered by `Done` or `Failed`."""

    request: Unsigned
    ssid: Ssid


class ListStations(Message, frozen=True, tag="list"):
    """Answered by `Stations`."""

    request: Unsigned


AdminRequest: TypeAlias = SetPassphrase | TakeDown | BringUp | ListStations


class Attached(Message, frozen=True, tag="attached"):
    """The station is in; `token` ties its streams to it."""

    token: Bytes16


class Opened(Message, frozen=True, tag="opened"):
    """The stream is through; raw bytes follow."""


class Done(Message, frozen=True, tag="done"):
    request: Unsigned


class Failed(Message, frozen=True, tag="failed"):
    """`code` is the error's code, `cause` that of a `NetworkFailure` or empty."""

    request: Unsigned
    code: Word
    cause: Word
    detail: Text


class SeenNetwork(Message, frozen=True):
    ssid: Ssid
    bssid: Annotated[bytes, msgspec.Meta(min_length=6, max_length=6)]
    channel: Unsigned
    signal_dbm: int
    auth: Word


class Seen(Message, frozen=True, tag="seen"):
    request: Unsigned
    networks: Annotated[list[SeenNetwork], msgspec.Meta(max_length=128)]


class ListedStation(Message, frozen=True):
    """An SSID is empty where there is none."""

    name: Name
    cellular: bool
    joined: str
    access_point: str
    streams: Unsigned


class Stations(Message, frozen=True, tag="stations"):
    request: Unsigned
    stations: Annotated[list[ListedStation], msgspec.Meta(max_length=128)]


class Incoming(Message, frozen=True, tag="incoming"):
    """Event: a guest of the station's access point opened a stream; answer with `AcceptStream`."""

    stream: Unsigned


class Lost(Message, frozen=True, tag="lost"):
    """Event: the station is on no network any more, and did not ask for it."""


Answer: TypeAlias = Attached | Opened | Done | Failed | Seen | Stations
Report: TypeAlias = Answer | Incoming | Lost


def decode_opening(data: bytes) -> Opening:
    """Decode the first frame of a connection. Raises `Malformed`."""
    opening: Opening = _decode(data, Opening)
    return opening


def decode_station_request(data: bytes) -> StationRequest:
    """Decode a frame of a station's control connection. Raises `Malformed`."""
    request: StationRequest = _decode(data, StationRequest)
    return request


def decode_admin_request(data: bytes) -> AdminRequest:
    """Decode a frame of an observer. Raises `Malformed`."""
    request: AdminRequest = _decode(data, AdminRequest)
    return request


def decode_report(data: bytes) -> Report:
    """Decode a frame of the premises. Raises `Malformed`."""
    report: Report = _decode(data, Report)
    return report


def _decode(data: bytes, kinds: object) -> Any:
    value = cbor.decode(data, MAX_FRAME_BYTES)
    try:
        return msgspec.convert(value, kinds, strict=True, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise Malformed("a premises frame of an unknown kind or with a wrong field") from error


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read one frame; None at the end of the stream. Raises `Malformed` if it is cut off, empty or too long."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if not 0 < size <= MAX_FRAME_BYTES:
            raise Malformed(f"a premises frame of {size} bytes")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Malformed("a premises frame that is cut off") from error
        return None
    except ConnectionError:
        return None


def frame(message: Message) -> bytes:
    """The bytes of one frame."""
    data = encode(message)
    return len(data).to_bytes(4, "big") + data
