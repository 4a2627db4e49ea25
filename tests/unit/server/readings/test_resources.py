from pathlib import Path

import pytest

from admittance.errors import Throttled
from admittance.server.conversation.resources import ConversingDevice, answer
from admittance.server.database import Database
from admittance.server.readings.resources import BATCHES_PER_MINUTE, BatchRate, resources
from admittance.server.readings.service import ReadingsService
from admittance.wire import message, senml
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from admittance.wire.readings import Readings, ReadingsAccepted, ServerTime
from admittance.wire.senml import Record
from tests.device_world import START, World

NOW = int(START)


def request(code: int, path: str, payload: bytes = b"") -> CoapMessage:
    return CoapMessage(code, options=path_options(path), payload=payload)


async def test_a_device_hands_in_readings_asks_for_its_last_number_and_for_the_time(
    sqlite_database: Database, tmp_path: Path
) -> None:
    world = World(sqlite_database, tmp_path)
    owner, device = await world.account(), world.device()
    await world.take(device)
    await world.onboard(owner, device)
    service = ReadingsService(
        database=sqlite_database, audit=world.foundation.audit_log, clock=world.clock, on_consent=lambda _: None
    )
    table = resources(service, world.clock, world.clock)
    peer = ConversingDevice(device.device_id, device.epoch)
    batch = message.encode(Readings(4, NOW, senml.encode([Record("temperature", 20.0, time=START)])))
    hand_in, ask = request(codes.POST, "/readings", batch), request(codes.GET, "/readings")
    assert (await answer(table, peer, hand_in)).code == codes.FORBIDDEN
    await service.set_consent(owner, device.device_id, ["temperature"], erase=False)
    taken = await answer(table, peer, hand_in)
    assert (taken.code, message.decode(taken.payload, ReadingsAccepted)) == (codes.CHANGED, ReadingsAccepted(4, NOW))
    known = await answer(table, peer, ask)
    assert message.decode(known.payload, ReadingsAccepted) == ReadingsAccepted(4, NOW)
    time = await answer(table, peer, request(codes.GET, "/time"))
    assert message.decode(time.payload, ServerTime) == ServerTime(NOW)
    for broken in (request(codes.POST, "/readings", b"\x80"), request(codes.GET, "/time", b"x")):
        assert (await answer(table, peer, broken)).code == codes.BAD_REQUEST


def test_a_device_hands_in_no_more_batches_than_its_share() -> None:
    now = 1000.0
    rate = BatchRate(lambda: now)
    for _ in range(BATCHES_PER_MINUTE):
        rate.spend("a")
    with pytest.raises(Throttled):
        rate.spend("a")
    rate.spend("b")
    now += 1.0
    rate.spend("a")
    with pytest.raises(Throttled):
        rate.spend("a")
