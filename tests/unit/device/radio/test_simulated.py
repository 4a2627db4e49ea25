from pathlib import Path

import pytest

from admittance.device.radio.port import Radio, VisibleNetwork
from admittance.device.radio.simulated import SimulatedRadio
from admittance.errors import Conflict, JoinFailed, NetworkFailure
from tests.premises_world import premises_server


async def test_simulated_radio_is_a_radio(tmp_path: Path) -> None:
    async with premises_server(tmp_path, []) as path:
        radio: Radio = await SimulatedRadio.attach(path, "device")
        home, guest, full = await radio.scan()
        assert home == VisibleNetwork("Home", home.bssid, 11, -48, "wpa2")
        assert (guest.auth, full.signal_dbm, len(home.bssid)) == ("open", -70, 6)
        await radio.join("Home", "correct horse")
        assert radio.joined == "Home"
        await radio.leave()
        assert radio.joined is None
        with pytest.raises(JoinFailed) as failure:
            await radio.join("Home", "wrong horse")
        assert failure.value.cause == "wrong_password"
        with pytest.raises(NetworkFailure):
            await radio.open_connection("localhost", 443)
        await radio.close_access_point()
        await radio.close()


async def test_name_of_a_device_is_taken_once(tmp_path: Path) -> None:
    async with premises_server(tmp_path, []) as path:
        radio = await SimulatedRadio.attach(path, "device")
        with pytest.raises(Conflict):
            await SimulatedRadio.attach(path, "device")
        await radio.close()
