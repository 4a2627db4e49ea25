"""A station's side of the premises: its radio, and every stream that it opens or accepts."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self, TypeAlias

from admittance.errors import (
    AdmittanceError,
    ConfigurationError,
    Conflict,
    JoinFailed,
    Malformed,
    NotFound,
    Unavailable,
    Unreachable,
)
from admittance.premises import protocol
from admittance.premises.sighting import Sighting
from admittance.wire.message import Message

MAX_SSID_BYTES = 32
MAX_PASSPHRASE_BYTES = 64

OnConnection: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ControlConnection:
    """Requests over one socket connection, each answered under its number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_request = 0
        self._waiting: dict[int, asyncio.Future[protocol.Answer]] = {}
        self._on_event: Callable[[protocol.Incoming | protocol.Lost], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, on_event: Callable[[protocol.Incoming | protocol.Lost], None] | None = None) -> None:
        """Begin to read answers, and hand events to `on_event`."""
        self._on_event = on_event
        self._task = asyncio.create_task(self._receive())

    def next_request(self) -> int:
        """A number for the next request."""
        self._last_request += 1
        return self._last_request

    async def ask(self, number: int, request: Message) -> protocol.Answer:
        """Send a request and wait for its answer. Raises what the premises refused with, or `Unavailable`."""
        if self._task is None or self._task.done():
            raise Unavailable("The premises process has ended the connection.")
        answer: asyncio.Future[protocol.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(protocol.frame(request))
            received = await answer
        finally:
            del self._waiting[number]
        if isinstance(received, protocol.Failed):
            raise error_of(received)
        return received

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _receive(self) -> None:
        try:
            while (data := await protocol.read_frame(self._reader)) is not None:
                self._dispatch(protocol.decode_report(data))
                # Whoever waits for this answer acts on it before the next frame is looked at.
                await asyncio.sleep(0)
        except Malformed:
            self._writer.close()
        finally:
            if self._on_event is not None:
                self._on_event(protocol.Lost())
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Unavailable("The premises process has ended the connection."))

    def _dispatch(self, report: protocol.Report) -> None:
        match report:
            case protocol.Incoming() | protocol.Lost():
                if self._on_event is None:
                    raise Malformed("an event where none is expected")
                self._on_event(report)
            case protocol.Attached() | protocol.Opened():
                raise Malformed("an answer to no request")
            case answer:
                waiting = self._waiting.get(answer.request)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)


class Station:
    """One attached station. It is on one network at a time."""

    def __init__(self, path: Path, token: bytes, control: ControlConnection) -> None:
        self._path = path
        self._token = token
        self._control = control
        self._joined: str | None = None
        self._on_connection: OnConnection | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def attach(cls, socket_path: Path | str, name: str, *, cellular: bool = False) -> Self:
        """Attach to the premises; a phone is `cellular`. Raises `Conflict` if the name is taken, `Unavailable`."""
        path = Path(socket_path)
        reader, writer, answer = await _connect(path, protocol.Attach(name, cellular))
        if not isinstance(answer, protocol.Attached):
            writer.close()
            raise Unavailable("The premises gave an answer that does not fit.")
        control = ControlConnection(reader, writer)
        station = cls(path, answer.token, control)
        control.start(station._on_event)
        return station

    @property
    def joined(self) -> str | None:
        """The SSID of the network that the station is on."""
        return self._joined

    async def scan(self) -> tuple[Sighting, ...]:
        """The Wi-Fi networks in range, strongest first."""
        number = self._control.next_request()
        answer = await self._control.ask(number, protocol.Scan(number))
        if not isinstance(answer, protocol.Seen):
            raise Unavailable("The premises gave an answer that does not fit.")
        return tuple(
            Sighting(n.ssid, n.bssid, n.channel, n.signal_dbm, "open" if n.auth == "open" else "wpa2")
            for n in answer.networks
        )

    async def join(self, ssid: str, passphrase: str) -> None:
        """Leave the present network and join `ssid`. Raises `JoinFailed`; the station is then on no network."""
        if not 1 <= len(ssid) <= MAX_SSID_BYTES:
            raise JoinFailed("not_found", "The name of a network has 1 to 32 bytes.")
        if len(passphrase) > MAX_PASSPHRASE_BYTES:
            raise JoinFailed("wrong_password", "A passphrase has at most 64 characters.")
        self._joined = None
        number = self._control.next_request()
        await self._control.ask(number, protocol.Join(number, ssid, passphrase))
        self._joined = ssid

    async def leave(self) -> None:
        """Leave the present network, if there is one."""
        self._joined = None
        number = self._control.next_request()
        await self._control.ask(number, protocol.Leave(number))

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream through the joined network. Raises `Unreachable`."""
        try:
            opening = protocol.OpenStream(self._token, host, port)
            reader, writer, answer = await _connect(self._path, opening)
        except Unavailable as error:
            raise Unreachable(str(error)) from error
        if not isinstance(answer, protocol.Opened):
            writer.close()
            raise Unreachable("The premises gave an answer that does not fit.")
        return reader, writer

    async def open_access_point(self, ssid: str, passphrase: str, on_connection: OnConnection) -> None:
        """Open an access point; `on_connection` serves each stream to 192.168.4.1:80. Raises `Conflict`."""
        number = self._control.next_request()
        await self._control.ask(number, protocol.OpenAccessPoint(number, ssid, passphrase))
        self._on_connection = on_connection

    async def close_access_point(self) -> None:
        """Close the access point, if it is open."""
        self._on_connection = None
        number = self._control.next_request()
        await self._control.ask(number, protocol.CloseAccessPoint(number))
        await self._end_connections()

    async def close(self) -> None:
        """Detach: the station is gone, with its access point and all its streams."""
        self._on_connection = None
        self._joined = None
        await self._control.close()
        await self._end_connections()

    def _on_event(self, event: protocol.Incoming | protocol.Lost) -> None:
        match event:
            case protocol.Lost():
                self._joined = None
            case protocol.Incoming():
                if self._on_connection is not None:
                    task = asyncio.create_task(self._accept(event.stream, self._on_connection))
                    self._connections.add(task)
                    task.add_done_callback(self._connections.discard)

    async def _accept(self, stream: int, on_connection: OnConnection) -> None:
        try:
            reader, writer, _ = await _connect(self._path, protocol.AcceptStream(self._token, stream))
        except (AdmittanceError, ConnectionError):
            return
        try:
            await on_connection(reader, writer)
        except ConnectionError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _end_connections(self) -> None:
        tasks = tuple(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Observer:
    """Looks at the premises from outside, and changes them as their owner would."""

    def __init__(self, control: ControlConnection) -> None:
        self._control = control

    @classmethod
    async def attach(cls, socket_path: Path | str) -> Self:
        """Connect to the premises. Raises `Unavailable`."""
        reader, writer = await _reach(Path(socket_path))
        writer.write(protocol.frame(protocol.Administer()))
        control = ControlConnection(reader, writer)
        control.start()
        return cls(control)

    async def set_passphrase(self, ssid: str, passphrase: str) -> None:
        """Give a network another passphrase; its stations lose it. Raises `NotFound`, `ConfigurationError`."""
        number = self._control.next_request()
        await self._control.ask(number, protocol.SetPassphrase(number, ssid, passphrase))

    async def take_down(self, ssid: str) -> None:
        """Take a network off the air. Raises `NotFound`."""
        number = self._control.next_request()
        await self._control.ask(number, protocol.TakeDown(number, ssid))

    async def bring_up(self, ssid: str) -> None:
        """Put a network back on the air. Raises `NotFound`."""
        number = self._control.next_request()
        await self._control.ask(number, protocol.BringUp(number, ssid))

    async def stations(self) -> tuple[protocol.ListedStation, ...]:
        """All attached stations, by name."""
        number = self._control.next_request()
        answer = await self._control.ask(number, protocol.ListStations(number))
        if not isinstance(answer, protocol.Stations):
            raise Unavailable("The premises gave an answer that does not fit.")
        return tuple(answer.stations)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._control.close()


def error_of(failed: protocol.Failed) -> AdmittanceError:
    """The error that a refusal of the premises stands for."""
    match failed.code, failed.cause:
        case "network", "no_server":
            return Unreachable(failed.detail)
        case "network", cause:
            return JoinFailed(cause, failed.detail)
        case "conflict", _:
            return Conflict(failed.detail)
        case "not_found", _:
            return NotFound(failed.detail)
        case "configuration", _:
            return ConfigurationError(failed.detail)
    return Unavailable(failed.detail)


async def _reach(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(path)
    except OSError as error:
        raise Unavailable(f"{path}: no premises process answers. Start one with: admit premises run") from error


async def _connect(
    path: Path, opening: Message
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, protocol.Answer]:
    """Open a connection that begins with `opening`. Raises what the premises refuse it with, or `Unavailable`."""
    reader, writer = await _reach(path)
    try:
        writer.write(protocol.frame(opening))
        data = await protocol.read_frame(reader)
        if data is None:
            raise Unavailable("The premises process has ended the connection.")
        answer = protocol.decode_report(data)
        if isinstance(answer, protocol.Failed):
            raise error_of(answer)
        if isinstance(answer, protocol.Incoming | protocol.Lost):
            raise Malformed("an event where an answer is expected")
    except BaseException:
        writer.close()
        raise
    return reader, writer, answer
