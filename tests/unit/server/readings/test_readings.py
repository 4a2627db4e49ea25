import asyncio
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from admittance.errors import Conflict, Malformed, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.store import accounts
from admittance.server.database import Database
from admittance.server.devices.store import devices
from admittance.server.readings import store as tables
from admittance.server.readings.model import Place
from admittance.server.readings.service import ReadingsService
from admittance.server.readings.table import COLUMNS, csv_table
from admittance.wire import senml
from admittance.wire.readings import Readings, ReadingsAccepted
from admittance.wire.senml import Record
from tests.device_world import START, FakeDevice, World

NOW = int(START)


@dataclass
class Household:
    """A server with an owner's enrolled device."""

    world: World
    owner: AuthenticatedAccount
    device: FakeDevice
    readings: ReadingsService
    heard: list[str] = field(default_factory=list)

    async def agree(self, *names: str, erase: bool = False) -> None:
        await self.readings.set_consent(self.owner, self.device.device_id, names, erase=erase)

    async def send(self, sequence: int, *records: Record, sent_at: int = NOW) -> ReadingsAccepted:
        batch = Readings(sequence, sent_at, senml.encode(records or [temperature(sequence)]))
        return await self.readings.take(self.device.device_id, self.device.epoch, batch)

    async def stored(self) -> list[tuple[str, float | str]]:
        page = await self.readings.page(self.owner, self.device.device_id, None, 1000)
        return [(reading.name, reading.value) for reading in page.readings]


def temperature(value: float) -> Record:
    return Record("temperature", float(value), "Cel", START - 60)


async def household(database: Database, folder: Path) -> Household:
    world = World(database, folder)
    owner, device = await world.account("ann"), world.device()
    await world.take(device)
    await world.onboard(owner, device)
    heard: list[str] = []
    service = ReadingsService(
        database=database, audit=world.foundation.audit_log, clock=world.clock, on_consent=heard.append
    )
    return Household(world, owner, device, service, heard)


@pytest.fixture
async def home(database: Database, tmp_path: Path) -> Household:
    return await household(database, tmp_path)


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(tables.readings))).scalar_one())


async def test_without_consent_nothing_is_stored(home: Household) -> None:
    with pytest.raises(NotAllowed):
        await home.send(1)
    assert await count(home.world.database) == 0


async def test_only_readings_that_the_owner_agreed_to_are_stored(home: Household) -> None:
    await home.agree("temperature")
    accepted = await home.send(1, temperature(21.5), Record("presence", True))
    assert accepted == ReadingsAccepted(1, NOW)
    assert await home.stored() == [("temperature", 21.5)]
    with pytest.raises(NotAllowed):
        await home.send(2, Record("presence", True))
    assert await count(home.world.database) == 1


async def test_a_reading_is_stored_with_both_times_skew_and_assurance(home: Household) -> None:
    await home.agree("temperature", "door", "alarm")
    await home.send(
        1, temperature(-3.5), Record("door", "open", time=-30.5), Record("alarm", False), sent_at=NOW + 90
    )
    page = await home.readings.page(home.owner, home.device.device_id, None, 10)
    alarm, door, cold = page.readings
    assert (cold.value, cold.unit, cold.measured_at) == (-3.5, "Cel", START - 60)
    assert (cold.received_at, cold.skew_s, cold.assurance) == (NOW, 90, "listed")
    assert (door.value, door.measured_at) == ("open", NOW + 90 - 30.5)
    assert (alarm.value, alarm.measured_at) == (0.0, NOW + 90)


async def test_the_same_batch_twice_is_stored_once_and_another_of_its_number_is_refused(home: Household) -> None:
    await home.agree("temperature")
    first = await home.send(7, temperature(1))
    home.world.clock.pass_s(5)
    assert await home.send(7, temperature(1), sent_at=NOW + 5) == ReadingsAccepted(7, first.server_time + 5)
    with pytest.raises(Conflict):
        await home.send(7, temperature(2))
    assert await home.stored() == [("temperature", 1.0)]
    assert await home.readings.highest(home.device.device_id, home.device.epoch) == ReadingsAccepted(7, NOW + 5)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_batch_sent_any_number_of_times_in_any_order_is_stored_once(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, data: st.DataObject
) -> None:
    batches = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    at_once = data.draw(st.booleans())

    async def run() -> None:
        folder = tmp_path_factory.mktemp("home")
        file = folder / "admittance.db"
        file.write_bytes(migrated_sqlite.read_bytes())
        database = Database(f"sqlite+aiosqlite:///{file}")
        home = await household(database, folder)
        await home.agree("temperature")
        if at_once:
            await asyncio.gather(*(home.send(number) for number in batches))
        else:
            for number in batches:
                await home.send(number)
        assert sorted(await home.stored()) == [("temperature", float(number)) for number in sorted(set(batches))]
        await database.close()

    asyncio.run(run())


NAMES = ("temperature", "humidity", "presence")
steps = st.lists(
    st.tuples(st.just("agree"), st.sets(st.sampled_from(NAMES)), st.booleans())
    | st.tuples(st.just("send"), st.sets(st.sampled_from(NAMES), min_size=1), st.integers(1, 6)),
    max_size=12,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_is_agreed_withdrawn_and_sent_nothing_is_stored_without_consent(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, steps: list[tuple[str, set[str], int]]
) -> None:
    """A model beside the service: what it holds is what was consented to when it came."""

    async def run() -> None:
        folder = tmp_path_factory.mktemp("home")
        file = folder / "admittance.db"
        file.write_bytes(migrated_sqlite.read_bytes())
        database = Database(f"sqlite+aiosqlite:///{file}")
        home = await household(database, folder)
        agreed: set[str] = set()
        expected: dict[int, set[str]] = {}
        for what, names, number in steps:
            if what == "agree":
                await home.agree(*names, erase=bool(number))
                agreed = names
                if number:
                    expected = {sequence: kept & agreed for sequence, kept in expected.items()}
                continue
            records = [Record(name, 1.0, time=START) for name in sorted(names)]
            try:
                await home.send(number, *records)
            except (NotAllowed, Conflict):
                continue
            expected.setdefault(number, names & agreed)
        stored = sorted(name for name, _ in await home.stored())
        assert stored == sorted(name for kept in expected.values() for name in kept)
        await database.close()

    asyncio.run(run())


async def test_a_batch_that_races_with_the_withdrawal_is_stored_before_it_or_not_at_all(home: Household) -> None:
    for attempt in range(1, 6):
        await home.agree("temperature")
        sent = [home.send(attempt * 10 + index) for index in range(4)]
        await asyncio.gather(*sent[:2], home.agree(erase=True), *sent[2:], return_exceptions=True)
        view = await home.readings.consent(home.owner, home.device.device_id)
        assert (view.readings, view.stored) == ((), 0)


async def test_withdrawal_stops_at_once_and_erases_what_was_sent_if_asked(home: Household) -> None:
    await home.agree("temperature", "humidity")
    await home.send(1, temperature(1), Record("humidity", 40.0))
    await home.agree("humidity")
    with pytest.raises(NotAllowed):
        await home.send(2)
    view = await home.readings.consent(home.owner, home.device.device_id)
    assert (view.readings, view.given_at, view.stored, view.stored_withdrawn) == (("humidity",), NOW, 2, 1)
    await home.agree("humidity", erase=True)
    assert await home.stored() == [("humidity", 40.0)]
    events = [event for event, _ in await home.world.audited() if event.startswith("device.readings")]
    assert events == ["device.readings_consented", "device.readings_withdrawn", "device.readings_erased"]
    assert home.heard == [home.device.device_id]


async def test_a_withdrawn_batch_is_taken_once_the_owner_agrees_again(home: Household) -> None:
    with pytest.raises(NotAllowed):
        await home.send(1)
    await home.agree("temperature")
    await home.send(1)
    assert await home.stored() == [("temperature", 1.0)]


async def test_readings_and_consent_go_with_the_owner(home: Household) -> None:
    await home.agree("temperature")
    await home.send(1)
    assert await home.readings.wants_readings(home.device.device_id)
    await home.world.services.fleet.release(home.owner, home.device.device_id)
    assert await count(home.world.database) == 0
    assert not await home.readings.wants_readings(home.device.device_id)
    with pytest.raises(NotAllowed):
        await home.send(2)


async def test_readings_go_with_the_account(home: Household) -> None:
    await home.agree("temperature")
    await home.send(1)
    async with home.world.database.transaction() as connection:
        await connection.execute(delete(accounts).where(accounts.c.account_id == home.owner.account_id))
    assert await count(home.world.database) == 0


@pytest.mark.parametrize("ending", ["stolen", "revoke"])
async def test_an_ended_device_sends_no_more_and_its_owner_keeps_what_it_sent(home: Household, ending: str) -> None:
    await home.agree("temperature")
    await home.send(1)
    if ending == "stolen":
        await home.world.services.lifecycle.report(home.owner, home.device.device_id, "stolen")
    else:
        await home.world.services.fleet.revoke(home.owner, home.device.device_id, "broken")
    with pytest.raises(NotAllowed):
        await home.send(2)
    assert await home.stored() == [("temperature", 1.0)]
    await home.agree(erase=True)
    assert await count(home.world.database) == 0
    if ending == "revoke":
        with pytest.raises(Conflict):
            await home.agree("temperature")


async def test_a_batch_of_another_epoch_is_refused(home: Household) -> None:
    await home.agree("temperature")
    batch = Readings(1, NOW, senml.encode([temperature(1)]))
    for epoch in (home.device.epoch - 1, home.device.epoch + 1):
        with pytest.raises(NotAllowed):
            await home.readings.take(home.device.device_id, epoch, batch)
        with pytest.raises(NotAllowed):
            await home.readings.highest(home.device.device_id, epoch)
    with pytest.raises(NotAllowed):
        await home.readings.take("AD" + "A" * 20, home.device.epoch, batch)


async def test_others_see_nothing_operators_neither(home: Household) -> None:
    other, operator = await home.world.account("bob"), await home.world.account("root", operator=True)
    await home.agree("temperature")
    for account in (other, operator):
        with pytest.raises(NotFound):
            await home.readings.consent(account, home.device.device_id)
        with pytest.raises(NotFound):
            await home.readings.set_consent(account, home.device.device_id, ["humidity"], erase=True)
        with pytest.raises(NotFound):
            await home.readings.page(account, home.device.device_id, None, 10)
        with pytest.raises(NotFound):
            await home.readings.of_device(account, home.device.device_id)
    with pytest.raises(NotAllowed):
        await home.readings.of_everybody(other)


@pytest.mark.parametrize(
    "record",
    [
        Record("a", None, sum=1.0),
        Record("a", 1.0, sum=1.0),
        Record("a", b"\0"),
        Record("a", "one\0two"),
        Record("a", 1.0, time=1e15),
        Record("a", 1.0, time=-2e9),
    ],
)
async def test_what_is_no_reading_is_malformed(home: Household, record: Record) -> None:
    await home.agree("a")
    with pytest.raises(Malformed):
        await home.send(1, record)
    assert await count(home.world.database) == 0


async def test_pages_follow_each_other_from_the_newest_to_the_oldest(home: Household) -> None:
    await home.agree("temperature")
    for number in range(1, 4):
        await home.send(number, temperature(number), temperature(number + 0.5))
    seen: list[float | str] = []
    before: Place | None = None
    while True:
        page = await home.readings.page(home.owner, home.device.device_id, before, 4)
        seen += [reading.value for reading in page.readings]
        before = page.next
        if before is None:
            break
    assert seen == [3.5, 3.0, 2.5, 2.0, 1.5, 1.0]


async def rows(content: AsyncIterator[bytes]) -> list[list[str]]:
    text = b"".join([part async for part in content]).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


async def test_the_owners_table_has_every_reading_and_no_formula(home: Household) -> None:
    await home.agree("temperature", "note")
    await home.send(1, temperature(-3.25), Record("note", "=HYPERLINK(1)", "+x"), Record("note", 'say "a, b"'))
    table = await rows(csv_table(await home.readings.of_device(home.owner, home.device.device_id)))
    at = "2027-01-15T07:59:00.000Z"
    assert table[0] == list(COLUMNS)
    assert table[1] == [
        home.device.device_id,
        "temperature",
        "-3.25",
        "Cel",
        at,
        "2027-01-15T08:00:00Z",
        "0",
        "listed",
    ]
    assert [row[2:4] for row in table[2:]] == [["'=HYPERLINK(1)", "'+x"], ['say "a, b"', ""]]


async def test_the_operators_table_has_what_owners_agree_to_now_and_is_recorded(home: Household) -> None:
    operator, bob = await home.world.account("root", operator=True), await home.world.account("bob")
    other = home.world.device()
    await home.world.take(other)
    await home.world.onboard(bob, other)
    await home.agree("temperature", "humidity")
    await home.send(1, temperature(1), Record("humidity", 40.0))
    await home.readings.set_consent(bob, other.device_id, ["temperature"], erase=False)
    await home.readings.take(other.device_id, other.epoch, Readings(1, NOW, senml.encode([temperature(2)])))
    await home.agree("temperature")
    table = await rows(csv_table(await home.readings.of_everybody(operator)))
    assert sorted((row[0], row[2]) for row in table[1:]) == sorted(
        [(home.device.device_id, "1.0"), (other.device_id, "2.0")]
    )
    await home.readings.set_consent(bob, other.device_id, [], erase=False)
    assert len(await rows(csv_table(await home.readings.of_everybody(operator)))) == 2
    assert [event for event, _ in await home.world.audited()].count("readings.exported") == 2


async def test_an_export_goes_over_its_pages_and_heeds_a_withdrawal_between_them(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admittance.server.readings.service.PAGE_ROWS", 2)
    operator = await home.world.account("root", operator=True)
    await home.agree("temperature")
    for number in range(1, 6):
        await home.send(number)
    whole = await rows(csv_table(await home.readings.of_everybody(operator)))
    assert [row[2] for row in whole[1:]] == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    own = await rows(csv_table(await home.readings.of_device(home.owner, home.device.device_id)))
    assert own == whole
    pages = await home.readings.of_everybody(operator)
    assert len(await anext(pages)) == 2
    await home.agree()
    assert [page async for page in pages] == []


async def test_a_device_that_goes_takes_its_readings_along(home: Household) -> None:
    await home.agree("temperature")
    await home.send(1)
    async with home.world.database.transaction() as connection:
        await connection.execute(delete(devices).where(devices.c.device_id == home.device.device_id))
    assert await count(home.world.database) == 0
