"""Readings from a real device to its owner's table: nothing without consent, nothing after it was withdrawn."""

import asyncio
import csv
from pathlib import Path

import pytest

from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.processes import ADMIT, Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAMP = ("--presence", "display", "--seal", "hybrid", "--certified")
METER = """
import asyncio

from admittance.device.applications import Application

app = Application("meter")


@app.task
async def measure(_host):
    while True:
        app.record("temperature", 21.5, "Cel")
        app.record("presence", True, "")
        await asyncio.sleep(0.1)
"""


async def admit(home: Household, *arguments: str | Path) -> Outcome:
    return await home.stage.admit("owner", *arguments, "--profile", home.profile)


async def stored(home: Household, device: RunningDevice) -> list[tuple[str, float]]:
    listed = (await admit(home, "readings", "list", device.device_id, "--count", "1000")).last
    return [(reading["name"], reading["value"]) for reading in listed["readings"]]


async def more_than(home: Household, device: RunningDevice, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await stored(home, device)) <= count:
            await asyncio.sleep(0.1)


async def test_readings_go_to_the_owner_while_they_are_agreed_to_and_the_device_hears_that_it_was_released(
    home: Household,
) -> None:
    meter = home.stage.folder / "meter.py"
    meter.write_text(METER)
    device = await home.make("lamp-a", *LAMP)
    await home.switch_on(device, "--application", str(meter), "--readings-s", "0.5", "--poll-s", "0.5")
    await home.provision(await home.photograph(device), *home.wifi(home.stage.wifi_password))
    await until(lambda: device.told("relay_connected") == 1, "The device is on the relay.")
    assert (await home.at_server(device)).online

    consent = ("readings", "consent", device.device_id)
    await asyncio.sleep(1)
    assert await stored(home, device) == []
    given = (await admit(home, *consent, "--allow", "temperature")).last
    assert (given["readings"], given["device_told"]) == (["temperature"], True)
    await more_than(home, device, 5)
    assert set(await stored(home, device)) == {("temperature", 21.5)}

    table = home.stage.folder / "table.csv"
    export = ("readings", "export", device.device_id, "--output", table, "--profile", home.profile)
    await home.stage.programs.run("export", [*ADMIT, *export])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) > 5
    assert {(row["name"], row["value"], row["unit"], row["assurance"]) for row in rows} == {
        ("temperature", "21.5", "Cel", "certified")
    }
    assert all(abs(int(row["skew_s"])) <= 2 for row in rows)

    withdrawn = (await admit(home, *consent, "--withdraw-all", "--erase")).last
    assert (withdrawn["readings"], withdrawn["stored"], withdrawn["device_told"]) == ([], 0, True)
    await asyncio.sleep(1.5)
    assert await stored(home, device) == []

    await admit(home, "devices", "release", device.device_id, "--yes")
    await until(lambda: device.told("epoch_ended") == 1, "The device was told that its access ended.")
