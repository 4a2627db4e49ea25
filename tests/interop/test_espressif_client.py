"""Espressif's own client code provisions our device, and is refused where it must be."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.codes import PossessionCode
from tests.interop.espressif import HOME, NETWORKS, PASSPHRASE, Client, Device, serving

T = TypeVar("T")


async def as_client(device: Device, code: PossessionCode, steps: Callable[[Client], T]) -> T:
    """Run blocking steps of Espressif's client in a thread, against the device's HTTP server."""

    async with serving(device) as address:

        def run() -> T:
            client = Client(address, code)
            try:
                return steps(client)
            finally:
                client.close()

        return await asyncio.to_thread(run)


async def test_provisions_an_unowned_device() -> None:
    device = Device()

    def steps(client: Client) -> tuple[list[str], str]:
        assert client.open()
        found = [network["ssid"] for network in client.scan()]
        assert client.set_network(HOME, PASSPHRASE)
        assert client.apply()
        return found, client.status()

    found, status = await as_client(device, device.shown(), steps)
    assert found == [network.ssid for network in NETWORKS]
    assert status == "connected"
    assert stock.JoinNetwork(HOME, PASSPHRASE, 1) in device.commands


@pytest.mark.parametrize(
    ("ssid", "passphrase"), [(HOME, "wrong password"), ("Home 77", PASSPHRASE)], ids=["password", "name"]
)
async def test_mends_a_wrong_network_in_the_same_session(ssid: str, passphrase: str) -> None:
    device = Device()

    def steps(client: Client) -> tuple[str, str]:
        assert client.open()
        assert client.set_network(ssid, passphrase)
        assert client.apply()
        first = client.status()
        assert client.reset()
        assert client.set_network(HOME, PASSPHRASE)
        assert client.apply()
        return first, client.status()

    assert await as_client(device, device.shown(), steps) == ("failed", "connected")


async def test_is_refused_with_a_wrong_code() -> None:
    device = Device()
    right = device.shown()
    wrong = PossessionCode(right.code_id, right.code[::-1])
    with pytest.raises(RuntimeError, match="device proof"):
        await as_client(device, wrong, Client.open)
    assert device.machine.session is None


@pytest.mark.parametrize(("later_s", "opens"), [(149.0, True), (149.9, True), (150.0, False), (600.0, False)])
async def test_is_refused_with_an_outdated_code(later_s: float, opens: bool) -> None:
    device = Device()
    code = device.shown()
    device.now += 60.0
    assert device.shown() != code
    device.now += later_s - 60.0
    if opens:
        assert await as_client(device, code, Client.open)
        return
    with pytest.raises(RuntimeError, match="device proof"):
        await as_client(device, code, Client.open)
    assert device.machine.session is None


async def test_is_refused_with_a_used_code() -> None:
    device = Device()
    code = device.shown()
    assert await as_client(device, code, Client.open)
    with pytest.raises(RuntimeError, match="device proof"):
        await as_client(device, code, Client.open)


async def test_cannot_set_the_network_of_an_owned_device() -> None:
    device = Device(owned=True)

    def steps(client: Client) -> tuple[bool, bool, bool, list[dict[str, object]]]:
        assert client.open()
        return client.set_network(HOME, PASSPHRASE), client.apply(), client.status() == "connected", client.scan()

    was_set, applied, connected, found = await as_client(device, device.shown(), steps)
    assert not was_set
    assert not applied
    assert not connected
    assert len(found) == len(NETWORKS)
    assert not any(isinstance(command, stock.JoinNetwork) for command in device.commands)


async def test_cannot_reset_an_owned_device() -> None:
    device = Device(owned=True)

    def steps(client: Client) -> None:
        assert client.open()
        client.reset()

    with pytest.raises(RuntimeError, match="CtrlReset failed"):
        await as_client(device, device.shown(), steps)
    assert stock.ResetRequested() not in device.commands
