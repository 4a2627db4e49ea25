"""The bodies of `prov-scan`, `prov-config` and `prov-ctrl`."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.protocomm import control, network, scan, wifi_scan_pb2
from admittance.wire.protocomm.control import ControlCommand
from admittance.wire.protocomm.network import ApplyNetwork, AskNetworkStatus, NetworkStatus, SetNetwork
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.scan import AskScanResult, AskScanStatus, ScannedNetwork, ScanStatus, StartScan

COUNTS = st.integers(0, 2**32 - 1)
SSIDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
NETWORKS = st.builds(
    ScannedNetwork,
    ssid=SSIDS,
    bssid=st.binary(min_size=6, max_size=6),
    channel=st.integers(1, 200),
    signal_dbm=st.integers(-120, 0),
    auth=st.sampled_from(get_args(scan.Auth)[:-1]),
)


@given(
    st.one_of(st.builds(StartScan, st.booleans()), st.builds(AskScanStatus), st.builds(AskScanResult, COUNTS, COUNTS))
)
def test_scan_commands(command: scan.ScanCommand) -> None:
    assert scan.decode_command(scan.encode_command(command)) == command


@given(st.booleans(), COUNTS, st.lists(NETWORKS, max_size=20))
def test_scan_answers(finished: bool, count: int, networks: list[ScannedNetwork]) -> None:
    assert scan.decode_started(scan.encode_started()) is Status.SUCCESS
    assert scan.decode_status(scan.encode_status(ScanStatus(finished, count))) == ScanStatus(finished, count)
    assert scan.decode_result(scan.encode_result(networks)) == tuple(networks)


def test_sixty_four_networks_fit_one_answer() -> None:
    networks = [ScannedNetwork("x" * 32, b"\xff" * 6, 165, -100, "wpa2_wpa3")] * 64
    assert len(scan.encode_result(networks)) + 16 <= 4096


@given(st.one_of(st.builds(SetNetwork, SSIDS, SSIDS), st.builds(ApplyNetwork), st.builds(AskNetworkStatus)))
def test_config_commands(command: network.ConfigCommand) -> None:
    assert network.decode_command(network.encode_command(command)) == command


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("command", [SetNetwork("home", "password"), ApplyNetwork()])
def test_config_answers(command: SetNetwork | ApplyNetwork, status: Status) -> None:
    data = network.encode_done(command, status)
    assert network.decode_done(data, command) is status
    other = ApplyNetwork() if isinstance(command, SetNetwork) else SetNetwork("home", "password")
    with pytest.raises(Malformed):
        network.decode_done(data, other)


@pytest.mark.parametrize(
    "status",
    [
        NetworkStatus(Status.SUCCESS, "connected", ip4_address="192.168.1.7", ssid="home"),
        NetworkStatus(Status.SUCCESS, "connecting"),
        NetworkStatus(Status.SUCCESS, "disconnected"),
        NetworkStatus(Status.SUCCESS, "failed", "auth_error"),
        NetworkStatus(Status.SUCCESS, "failed", "network_not_found"),
        NetworkStatus(Status.INVALID_SESSION),
    ],
)
def test_network_status(status: NetworkStatus) -> None:
    assert network.decode_status(network.encode_status(status)) == status


@pytest.mark.parametrize("command", get_args(ControlCommand))
def test_control(command: ControlCommand) -> None:
    assert control.decode_command(control.encode_command(command)) == command
    for status in Status:
        assert control.decode_done(control.encode_done(command, status), command) is status
    other: ControlCommand = "reprovision" if command == "reset" else "reset"
    with pytest.raises(Malformed):
        control.decode_done(control.encode_done(command, Status.SUCCESS), other)


@given(st.binary(max_size=300))
def test_decoders_raise_malformed_and_nothing_else(data: bytes) -> None:
    for decode in (
        scan.decode_command,
        scan.decode_started,
        scan.decode_status,
        scan.decode_result,
        network.decode_command,
        network.decode_status,
        control.decode_command,
        lambda data: network.decode_done(data, ApplyNetwork()),
        lambda data: control.decode_done(data, "reset"),
    ):
        try:
            decode(data)
        except Malformed:
            continue


@pytest.mark.parametrize(("ssid", "passphrase"), [("", "password"), ("x" * 33, "password"), ("home", "x" * 65)])
def test_lengths_that_wifi_does_not_have(ssid: str, passphrase: str) -> None:
    with pytest.raises(Malformed):
        network.decode_command(network.encode_command(SetNetwork(ssid, passphrase)))


def test_passphrase_is_not_shown() -> None:
    assert "password" not in repr(SetNetwork("home", "password"))


def test_command_and_payload_must_agree() -> None:
    answer = scan.encode_status(ScanStatus(True, 0))
    with pytest.raises(Malformed):
        scan.decode_command(answer)
    mixed = wifi_scan_pb2.ScanPayload(msg=wifi_scan_pb2.SCAN_COMMAND_STATUS)
    mixed.command_start.blocking = True
    with pytest.raises(Malformed):
        scan.decode_command(mixed.SerializeToString())


def test_commands_without_payload_are_those_that_carry_nothing() -> None:
    assert network.decode_command(b"") == AskNetworkStatus()
    assert network.decode_command(b"\x08\x04") == ApplyNetwork()
    with pytest.raises(Malformed):
        network.decode_command(b"\x08\x02")
    with pytest.raises(Malformed):
        control.decode_command(b"")


@pytest.mark.parametrize("ssid", [b"", b"\0" * 32, b"caf\xe9"])
def test_networks_without_a_name_are_none(ssid: bytes) -> None:
    payload = wifi_scan_pb2.ScanPayload(msg=wifi_scan_pb2.SCAN_RESPONSE_RESULT)
    payload.response_result.entries.add(ssid=ssid, bssid=b"\1" * 6)
    payload.response_result.entries.add(ssid=b"home", bssid=b"\1" * 6, auth="WPA2_PSK")
    found = scan.decode_result(payload.SerializeToString())
    assert found == (None, ScannedNetwork("home", b"\1" * 6, 0, 0, "wpa2"))


@pytest.mark.parametrize(("ssid", "bssid"), [(b"x" * 33, b"\1" * 6), (b"home", b"\1" * 5)])
def test_impossible_networks_are_malformed(ssid: bytes, bssid: bytes) -> None:
    payload = wifi_scan_pb2.ScanPayload(msg=wifi_scan_pb2.SCAN_RESPONSE_RESULT)
    payload.response_result.entries.add(ssid=ssid, bssid=bssid)
    with pytest.raises(Malformed):
        scan.decode_result(payload.SerializeToString())


def test_authentication_modes_to_come_are_other() -> None:
    # msg 5; result (field 15) with one entry {ssid "home", auth 40}
    data = b"\x08\x05\x7a\x0a\x0a\x08\x0a\x04home\x28\x28"
    assert scan.decode_result(data) == (ScannedNetwork("home", b"", 0, 0, "other"),)
