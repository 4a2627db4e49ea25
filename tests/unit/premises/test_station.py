import asyncio
import socket
import stat
from pathlib import Path

import pytest

from admittance.errors import (
    ConfigurationError,
    Conflict,
    JoinFailed,
    NotFound,
    Unavailable,
    Unreachable,
)
from admittance.premises import config, protocol
from admittance.premises.server import PremisesServer
from admittance.premises.station import Observer, Station
from tests.premises_world import Echo


async def _echoed(station: Station, echo: Echo, data: bytes) -> bytes:
    reader, writer = await station.open_connection("127.0.0.1", echo.port)
    writer.write(data)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    return received


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def test_bytes_go_both_ways_and_end_with_the_sender(socket_path: Path, echo: Echo) -> None:
    station = await Station.attach(socket_path, "device")
    await station.join("Home", "correct horse")
    data = bytes(range(256)) * 4096
    assert await asyncio.wait_for(_echoed_large(station, echo, data), 20) == data
    assert await _echoed(station, echo, b"hello") == b"hello"
    await station.close()


async def _echoed_large(station: Station, echo: Echo, data: bytes) -> bytes:
    reader, writer = await station.open_connection("127.0.0.1", echo.port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    received = await reader.read()
    await sending
    writer.close()
    return received


async def test_causes_arrive_at_the_station(socket_path: Path) -> None:
    station = await Station.attach(socket_path, "device")
    for ssid, passphrase, cause in (
        ("Home", "wrong horse", "wrong_password"),
        ("Home", "x" * 65, "wrong_password"),
        ("Nowhere", "", "not_found"),
        ("n" * 33, "", "not_found"),
        ("Full", "no more leases", "no_address"),
    ):
        with pytest.raises(JoinFailed) as failure:
            await station.join(ssid, passphrase)
        assert (failure.value.cause, station.joined) == (cause, None)
    await station.close()


async def test_network_without_uplink_joins_but_reaches_no_server(socket_path: Path, echo: Echo) -> None:
    station = await Station.attach(socket_path, "device")
    await station.join("Guest", "")
    with pytest.raises(Unreachable) as failure:
        await station.open_connection("127.0.0.1", echo.port)
    assert failure.value.cause == "no_server"
    assert echo.connections == 0
    await station.close()


async def test_joining_another_network_drops_the_streams_of_the_first(socket_path: Path, echo: Echo) -> None:
    phone = await Station.attach(socket_path, "phone", cellular=True)
    await phone.join("mobile", "")
    reader, writer = await phone.open_connection("127.0.0.1", echo.port)
    writer.write(b"x")
    assert await reader.read(1) == b"x"
    await phone.join("Home", "correct horse")
    assert await _ended(reader)
    await echo.ended.wait()
    writer.close()
    await phone.close()


async def test_failed_join_has_left_the_first_network(socket_path: Path, echo: Echo) -> None:
    station = await Station.attach(socket_path, "device")
    await station.join("Home", "correct horse")
    reader, writer = await station.open_connection("127.0.0.1", echo.port)
    with pytest.raises(JoinFailed):
        await station.join("Nowhere", "")
    assert await _ended(reader)
    with pytest.raises(Unreachable):
        await station.open_connection("127.0.0.1", echo.port)
    writer.close()
    await station.close()


async def test_host_that_does_not_listen_is_unreachable(socket_path: Path, echo: Echo, tmp_path: Path) -> None:
    server = PremisesServer(config.parse("networks=[{ssid='Open'}]\n[uplink]\nhosts=['127.0.0.1:1']"))
    path = tmp_path / "other.sock"
    await server.start(path)
    station = await Station.attach(path, "device")
    await station.join("Open", "")
    with pytest.raises(Unreachable):
        await station.open_connection("127.0.0.1", 1)
    await station.close()
    await server.close()


async def test_phone_talks_to_the_device_through_its_access_point(socket_path: Path, echo: Echo) -> None:
    device = await Station.attach(socket_path, "device")
    phone = await Station.attach(socket_path, "phone", cellular=True)
    await device.open_access_point("PROV_A1B2C3", "twelve chars", Echo().serve)
    assert "PROV_A1B2C3" in [network.ssid for network in await phone.scan()]
    await phone.join("PROV_A1B2C3", "twelve chars")
    reader, writer = await phone.open_connection("192.168.4.1", 80)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    with pytest.raises(Unreachable):
        await phone.open_connection("127.0.0.1", echo.port)
    await phone.join("mobile", "")
    assert await _ended(reader)
    with pytest.raises(Unreachable):
        await phone.open_connection("192.168.4.1", 80)
    writer.close()
    await phone.close()
    await device.close()


async def test_guest_loses_the_network_when_the_access_point_closes(socket_path: Path) -> None:
    device = await Station.attach(socket_path, "device")
    phone = await Station.attach(socket_path, "phone", cellular=True)
    await device.open_access_point("PROV_A1B2C3", "twelve chars", Echo().serve)
    await phone.join("PROV_A1B2C3", "twelve chars")
    reader, writer = await phone.open_connection("192.168.4.1", 80)
    await device.close_access_point()
    assert await _ended(reader)
    await phone.scan()
    assert phone.joined is None
    writer.close()
    await phone.close()
    await device.close()


async def test_owner_changes_the_passphrase(socket_path: Path, echo: Echo) -> None:
    station = await Station.attach(socket_path, "device")
    observer = await Observer.attach(socket_path)
    await station.join("Home", "correct horse")
    reader, writer = await station.open_connection("127.0.0.1", echo.port)
    await observer.set_passphrase("Home", "battery staple")
    assert await _ended(reader)
    await station.scan()
    assert station.joined is None
    with pytest.raises(JoinFailed):
        await station.join("Home", "correct horse")
    await station.join("Home", "battery staple")
    assert await _echoed(station, echo, b"again") == b"again"
    writer.close()
    await observer.aclose()
    await station.close()


async def test_network_is_lost_in_the_instant_after_joining(socket_path: Path) -> None:
    station = await Station.attach(socket_path, "device")
    observer = await Observer.attach(socket_path)
    joining = asyncio.create_task(station.join("Home", "correct horse"))
    while not any(listed.joined for listed in await observer.stations()):
        await asyncio.sleep(0)
    await observer.take_down("Home")
    await joining
    await station.scan()
    assert station.joined is None
    await observer.aclose()
    await station.close()


async def test_observer_lists_stations_and_is_told_what_is_wrong(socket_path: Path) -> None:
    device = await Station.attach(socket_path, "device")
    phone = await Station.attach(socket_path, "phone", cellular=True)
    observer = await Observer.attach(socket_path)
    await device.open_access_point("PROV_A1B2C3", "twelve chars", Echo().serve)
    await phone.join("PROV_A1B2C3", "twelve chars")
    assert await observer.stations() == (
        protocol.ListedStation("device", False, "", "PROV_A1B2C3", 0),
        protocol.ListedStation("phone", True, "PROV_A1B2C3", "", 0),
    )
    with pytest.raises(NotFound):
        await observer.take_down("Nowhere")
    with pytest.raises(ConfigurationError):
        await observer.set_passphrase("Home", "short")
    await observer.take_down("Home")
    await observer.bring_up("Home")
    await device.close()
    while len(await observer.stations()) != 1:
        await asyncio.sleep(0)
    await observer.aclose()
    await phone.close()


async def test_name_is_free_again_after_closing(socket_path: Path) -> None:
    station = await Station.attach(socket_path, "device")
    with pytest.raises(Conflict):
        await Station.attach(socket_path, "device")
    observer = await Observer.attach(socket_path)
    await station.close()
    while await observer.stations():
        await asyncio.sleep(0)
    await (await Station.attach(socket_path, "device")).close()
    await observer.aclose()


async def test_cut_off_frame_ends_that_connection_alone(socket_path: Path) -> None:
    station = await Station.attach(socket_path, "device")
    for data in (b"\0\0\0\x05ab", b"\xff\xff\xff\xff", protocol.frame(protocol.OpenStream(bytes(16), "h", 1))):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(data)
        writer.write_eof()
        assert await _ended(reader)
        writer.close()
    assert await station.scan()
    await station.close()


async def test_premises_that_end_leave_the_station_without_network(tmp_path: Path) -> None:
    server = PremisesServer(config.parse("networks=[{ssid='Open'}]"))
    path = tmp_path / "own.sock"
    await server.start(path)
    station = await Station.attach(path, "device")
    await station.join("Open", "")
    await server.close()
    while station.joined is not None:
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await station.scan()
    with pytest.raises(Unreachable):
        await station.open_connection("localhost", 1)
    with pytest.raises(Unavailable):
        await Station.attach(path, "device")
    await station.close()


async def test_socket_is_private_and_taken_once(socket_path: Path) -> None:
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    with pytest.raises(Conflict):
        await PremisesServer(config.parse("networks=[]")).start(socket_path)


async def test_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "premises.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = PremisesServer(config.parse("networks=[]"))
    await server.start(path)
    await (await Station.attach(path, "device")).close()
    await server.close()
    assert not path.exists()


async def test_stream_that_the_device_does_not_take_is_given_up(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admittance.premises.server.CONNECT_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(socket_path)
    writer.write(protocol.frame(protocol.Attach("deaf", False)))
    writer.write(protocol.frame(protocol.OpenAccessPoint(1, "PROV_A1B2C3", "twelve chars")))
    for _ in range(2):
        assert await protocol.read_frame(reader)
    phone = await Station.attach(socket_path, "phone", cellular=True)
    await phone.join("PROV_A1B2C3", "twelve chars")
    with pytest.raises(Unreachable):
        await phone.open_connection("192.168.4.1", 80)
    await phone.close()
    writer.close()
    await writer.wait_closed()
