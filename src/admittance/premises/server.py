"""The premises as a process: the only way out for the stations that attach to its unix socket."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from admittance.errors import AdmittanceError, Conflict, Malformed, NetworkFailure, Unreachable
from admittance.premises import protocol
from admittance.premises.config import Premises
from admittance.premises.sockets import PrivateServer
from admittance.premises.world import ToStation, ToUplink, World
from admittance.wire.message import Message

CONNECT_TIMEOUT_S = 10.0
OPENING_TIMEOUT_S = 10.0
MAX_PIECE_BYTES = 65536

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class _Attached:
    name: str
    writer: asyncio.StreamWriter
    incoming: dict[int, asyncio.Future[Streams]] = field(default_factory=dict)


class PremisesServer:
    """Serves one `World` on a unix socket that only its owner can open."""

    def __init__(self, premises: Premises) -> None:
        self._world = World(premises)
        self._stations: dict[bytes, _Attached] = {}
        self._writers: dict[int, list[asyncio.StreamWriter]] = {}
        self._connections = PrivateServer(self._serve, (Malformed, ConnectionError, TimeoutError))
        self.start = self._connections.start
        self.close = self._connections.close

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(OPENING_TIMEOUT_S):
            data = await protocol.read_frame(reader)
        if data is None:
            writer.close()
            return
        match protocol.decode_opening(data):
            case protocol.Attach() as opening:
                await self._serve_station(opening, reader, writer)
            case protocol.OpenStream() as opening:
                await self._serve_stream(opening, reader, writer)
            case protocol.AcceptStream() as opening:
                self._hand_over(opening, reader, writer)
            case protocol.Administer():
                await self._serve_admin(reader, writer)

    async def _serve_station(
        self, opening: protocol.Attach, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            self._world.attach(opening.name, opening.cellular)
        except Conflict as error:
            await _send(writer, _failed(0, error))
            writer.close()
            return
        token = secrets.token_bytes(16)
        station = self._stations[token] = _Attached(opening.name, writer)
        try:
            await _send(writer, protocol.Attached(token))
            while (data := await protocol.read_frame(reader)) is not None:
                await _send(writer, self._answer_station(station, protocol.decode_station_request(data)))
        finally:
            del self._stations[token]
            self._apply(lambda: self._world.detach(station.name))
            writer.close()

    def _answer_station(self, station: _Attached, request: protocol.StationRequest) -> Message:
        try:
            match request:
                case protocol.Scan():
                    networks = [
                        protocol.SeenNetwork(s.ssid, s.bssid, s.channel, s.signal_dbm, s.auth)
                        for s in self._world.scan(station.name)
                    ]
                    return protocol.Seen(request.request, networks)
                case protocol.Join():
                    self._apply(lambda: self._world.leave(station.name), asked_by=station.name)
                    self._world.join(station.name, request.ssid, request.passphrase)
                case protocol.Leave():
                    self._apply(lambda: self._world.leave(station.name), asked_by=station.name)
                case protocol.OpenAccessPoint():
                    self._world.open_access_point(station.name, request.ssid, request.passphrase)
                case protocol.CloseAccessPoint():
                    self._apply(lambda: self._world.close_access_point(station.name))
        except AdmittanceError as error:
            return _failed(request.request, error)
        return protocol.Done(request.request)

    async def _serve_admin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await protocol.read_frame(reader)) is not None:
            await _send(writer, self._answer_admin(protocol.decode_admin_request(data)))
        writer.close()

    def _answer_admin(self, request: protocol.AdminRequest) -> Message:
        try:
            match request:
                case protocol.SetPassphrase():
                    self._apply(lambda: self._world.set_passphrase(request.ssid, request.passphrase))
                case protocol.TakeDown():
                    self._apply(lambda: self._world.take_down(request.ssid))
                case protocol.BringUp():
                    self._world.bring_up(request.ssid)
                case protocol.ListStations():
                    listed = [
                        protocol.ListedStation(s.name, s.cellular, s.joined or "", s.access_point or "", s.streams)
                        for s in self._world.stations()
                    ]
                    return protocol.Stations(request.request, listed)
        except AdmittanceError as error:
            return _failed(request.request, error)
        return protocol.Done(request.request)

    def _apply(self, change: Callable[[], frozenset[int]], asked_by: str | None = None) -> None:
        """Make a change of the world, cut the streams that end with it, and tell the stations that lost a network."""
        joined = {view.name for view in self._world.stations() if view.joined is not None}
        for number in change():
            for writer in self._writers.pop(number, ()):
                writer.transport.abort()
        left = joined - {view.name for view in self._world.stations() if view.joined is not None}
        for station in self._stations.values():
            if station.name in left and station.name != asked_by:
                station.writer.write(protocol.frame(protocol.Lost()))

    async def _serve_stream(
        self, opening: protocol.OpenStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        station = self._stations.get(opening.token)
        if station is None:
            raise Malformed("a stream of no station")
        try:
            number, route = self._world.open_stream(station.name, opening.host, opening.port)
        except NetworkFailure as error:
            await _send(writer, _failed(0, error))
            writer.close()
            return
        self._writers[number] = [writer]
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await self._reach(number, route)
            if not self._world.is_open(number):
                raise Unreachable("The network was left while the stream was opening.")
            self._writers[number].append(far)
            await _send(writer, protocol.Opened())
            await _relay((reader, writer), (far_reader, far))
        except Unreachable as error:
            await _send(writer, _failed(0, error))
            writer.close()
        finally:
            self._world.close_stream(number)
            self._writers.pop(number, None)
            if far is not None:
                far.transport.abort()

    async def _reach(self, number: int, route: ToUplink | ToStation) -> Streams:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if isinstance(route, ToUplink):
                    return await asyncio.open_connection(route.host, route.port)
                return await self._call(number, route.station)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"The host does not answer ({type(error).__name__}).") from error

    async def _call(self, number: int, name: str) -> Streams:
        host = next(station for station in self._stations.values() if station.name == name)
        accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
        host.incoming[number] = accepted
        try:
            await _send(host.writer, protocol.Incoming(number))
            return await accepted
        finally:
            del host.incoming[number]

    def _hand_over(
        self, opening: protocol.AcceptStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        station = self._stations.get(opening.token)
        waiting = station.incoming.get(opening.stream) if station else None
        if waiting is None or waiting.done():
            raise Malformed("nobody waits for this stream")
        writer.write(protocol.frame(protocol.Opened()))
        waiting.set_result((reader, writer))


async def _relay(near: Streams, far: Streams) -> None:
    """Carry bytes both ways until both ends are done; an end that breaks breaks the other."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(near[0], far[1]))
            group.create_task(_copy(far[0], near[1]))
    except* ConnectionError:
        near[1].transport.abort()
    else:
        near[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(MAX_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if not writer.is_closing():
        writer.write_eof()


async def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(protocol.frame(message))
    await writer.drain()


def _failed(request: int, error: AdmittanceError) -> protocol.Failed:
    cause = error.cause if isinstance(error, NetworkFailure) else ""
    return protocol.Failed(request, error.code, cause, str(error)[:512])
