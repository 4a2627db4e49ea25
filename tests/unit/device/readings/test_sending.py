import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from admittance.device.clock import TrustedClock
from admittance.device.readings.sending import ReadingsOutbox
from admittance.device.readings.spool import Spool
from admittance.device.state import KeyMaterial, Memory, StateFile, first_record
from admittance.errors import Unavailable
from admittance.wire import message, senml
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.readings import Readings, ReadingsAccepted

NOW = 1_800_000_000
PATIENCE_S = 10.0


class Server:
    """Takes batches; knows those up to `last`."""

    def __init__(self) -> None:
        self.last = 0
        self.batches: list[Readings] = []
        self.unavailable = 0
        self.code: int | None = None

    async def ask(self, request: CoapMessage) -> CoapMessage:
        if self.unavailable:
            self.unavailable -= 1
            raise Unavailable("not now")
        if self.code is not None:
            return CoapMessage(self.code)
        if request.code == codes.POST:
            readings = message.decode(request.payload, Readings)
            self.batches.append(readings)
            self.last = readings.sequence
        return CoapMessage(codes.CHANGED, payload=message.encode(ReadingsAccepted(self.last, NOW)))

    def values(self) -> list[object]:
        return [record.value for batch in self.batches for record in senml.decode(batch.pack)]


def memory_in(folder: Path, *consent: str) -> Memory:
    record = first_record(KeyMaterial(b"", b"", b""))
    memory = Memory(StateFile(folder), record)
    memory.change(epoch=1, consent=consent)
    return memory


@asynccontextmanager
async def sending(folder: Path, server: Server, memory: Memory) -> AsyncIterator[ReadingsOutbox]:
    clock = TrustedClock(time.monotonic, NOW)
    outbox = ReadingsOutbox(
        Spool(folder / "readings", 1), memory, clock, server.ask, lambda *_a, **_f: None, batch_s=0.01
    )
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_the_owner_agreed_to_reaches_the_server_and_nothing_else(tmp_path: Path) -> None:
    server = Server()
    async with sending(tmp_path, server, memory_in(tmp_path, "temperature")) as outbox:
        outbox.record("temperature", 21.5, "Cel")
        outbox.record("humidity", 48.5, "%RH")
        await until(lambda: bool(server.batches))
    assert server.values() == [21.5]
    assert [batch.sequence for batch in server.batches] == [1]


async def test_readings_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    server = Server()
    server.unavailable = 3
    async with sending(tmp_path, server, memory_in(tmp_path, "temperature")) as outbox:
        outbox.record("temperature", 21.5, "Cel")
        await until(lambda: not server.unavailable)
        outbox.record("temperature", 22.5, "Cel")
        await until(lambda: server.values() == [21.5, 22.5])


async def test_after_a_reset_numbers_go_on_after_the_servers(tmp_path: Path) -> None:
    server = Server()
    server.last = 40
    async with sending(tmp_path, server, memory_in(tmp_path, "temperature")) as outbox:
        outbox.record("temperature", 21.5, "Cel")
        await until(lambda: bool(server.batches))
    assert server.batches[0].sequence == 41


async def test_where_consent_ends_what_waits_is_forgotten(tmp_path: Path) -> None:
    server = Server()
    server.unavailable = 1000
    memory = memory_in(tmp_path, "temperature", "humidity")
    async with sending(tmp_path, server, memory) as outbox:
        outbox.record("temperature", 21.5, "Cel")
        await until(lambda: server.unavailable < 1000)
        memory.change(consent=("humidity",))
        outbox.record("humidity", 48.5, "%RH")
        server.unavailable = 0
        await until(lambda: bool(server.batches))
    assert server.values() == [48.5]


async def test_a_server_that_refuses_is_not_pressed(tmp_path: Path) -> None:
    server = Server()
    server.code = codes.FORBIDDEN
    async with sending(tmp_path, server, memory_in(tmp_path, "temperature")) as outbox:
        outbox.record("temperature", 21.5, "Cel")
        await asyncio.sleep(0.1)
    assert server.batches == []
    assert len(Spool(tmp_path / "readings", 1)) == 1
