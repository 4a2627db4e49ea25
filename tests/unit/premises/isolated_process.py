"""Runs behind `isolation.prefix()`: tries every way out, and prints what it found as JSON."""

import asyncio
import json
import socket
import sys
from pathlib import Path

from admittance.errors import Unreachable
from admittance.premises.station import Station


def _direct(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return "connected"
    except OSError as error:
        return type(error).__name__


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        writer.write(b"ping")
        await writer.drain()
        return await reader.read(4) == b"ping"
    except ConnectionError:
        return False


async def _found(path: Path, port: int) -> dict[str, object]:
    station = await Station.attach(path, "isolated", cellular=True)
    found: dict[str, object] = {
        "direct": _direct(port),
        "interfaces": [name for _, name in socket.if_nameindex()],
    }
    await station.join("Home", "correct horse")
    first = await station.open_connection("127.0.0.1", port)
    found["through_home"] = await _echoed(*first)
    await station.join("mobile", "")
    found["home_after_mobile"] = await _echoed(*first)
    second = await station.open_connection("127.0.0.1", port)
    found["through_mobile"] = await _echoed(*second)
    await station.join("PROV_A1B2C3", "twelve chars")
    found["mobile_after_access_point"] = await _echoed(*second)
    try:
        await station.open_connection("127.0.0.1", port)
        found["server_from_access_point"] = "connected"
    except Unreachable as error:
        found["server_from_access_point"] = error.cause
    third = await station.open_connection("192.168.4.1", 80)
    found["through_access_point"] = await _echoed(*third)
    for _, writer in (first, second, third):
        writer.close()
    await station.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_found(Path(sys.argv[1]), int(sys.argv[2])))))
