"""Every message byte for byte as the codec generated from the .proto files writes it."""

from typing import Any

import pytest
from google.protobuf.message import Message

from admittance.wire.protocomm import control, network, scan, session
from admittance.wire.protocomm.network import ApplyNetwork, AskNetworkStatus, NetworkStatus, SetNetwork
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.scan import AskScanResult, AskScanStatus, ScannedNetwork, ScanStatus, StartScan
from admittance.wire.protocomm.session import Command0, Command1, Response0, Response1
from tests.protocomm.sec2_pb2 import Sec2Payload
from tests.protocomm.session_pb2 import SessionData
from tests.protocomm.wifi_config_pb2 import ConfigPayload
from tests.protocomm.wifi_ctrl_pb2 import ControlPayload
from tests.protocomm.wifi_scan_pb2 import ScanPayload

PUBLIC, PROOF, NONCE = b"\xab" * 384, b"\xcd" * 64, b"\xef" * 12
FOUND = ScannedNetwork("home", b"\1\2\3\4\5\6", 11, -47, "wpa2_wpa3")
FOUND_FIELDS = {"ssid": b"home", "bssid": b"\1\2\3\4\5\6", "channel": 11, "rssi": -47, "auth": "WPA2_WPA3_PSK"}


def security2(**payload: Any) -> Message:
    return SessionData(sec_ver="SECURITY_2", sec2=Sec2Payload(**payload))


@pytest.mark.parametrize(
    ("written", "generated"),
    [
        (
            session.encode_command(Command0("user", PUBLIC)),
            security2(msg="SEC2_COMMAND_0", command0={"client_username": b"user", "client_public": PUBLIC}),
        ),
        (
            session.encode_command(Command1(PROOF)),
            security2(msg="SEC2_COMMAND_1", command1={"client_proof": PROOF}),
        ),
        (
            session.encode_response(Response0(Status.SUCCESS, PUBLIC, b"salt")),
            security2(msg="SEC2_RESPONSE_0", response0={"device_public": PUBLIC, "device_salt": b"salt"}),
        ),
        (
            session.encode_response(Response1(Status.SUCCESS, PROOF, NONCE)),
            security2(msg="SEC2_RESPONSE_1", response1={"device_proof": PROOF, "device_nonce": NONCE}),
        ),
        (
            session.encode_response(Response1(Status.CRYPTO_ERROR)),
            security2(msg="SEC2_RESPONSE_1", response1={"status": "CRYPTO_ERROR"}),
        ),
        (
            scan.encode_command(StartScan(True)),
            ScanPayload(msg="SCAN_COMMAND_START", command_start={"blocking": True, "period_ms": 120}),
        ),
        (scan.encode_command(AskScanStatus()), ScanPayload(msg="SCAN_COMMAND_STATUS", command_status={})),
        (
            scan.encode_command(AskScanResult(4, 300)),
            ScanPayload(msg="SCAN_COMMAND_RESULT", command_result={"start_index": 4, "count": 300}),
        ),
        (scan.encode_started(), ScanPayload(msg="SCAN_RESPONSE_START", response_start={})),
        (
            scan.encode_status(ScanStatus(True, 3)),
            ScanPayload(msg="SCAN_RESPONSE_STATUS", response_status={"scan_finished": True, "result_count": 3}),
        ),
        (
            scan.encode_result([FOUND, FOUND]),
            ScanPayload(msg="SCAN_RESPONSE_RESULT", response_result={"entries": [FOUND_FIELDS, FOUND_FIELDS]}),
        ),
        (
            network.encode_command(SetNetwork("home", "password")),
            ConfigPayload(msg="CONFIG_COMMAND_SET", command_set={"ssid": b"home", "passphrase": b"password"}),
        ),
        (network.encode_command(ApplyNetwork()), ConfigPayload(msg="CONFIG_COMMAND_APPLY", command_apply={})),
        (network.encode_command(AskNetworkStatus()), ConfigPayload(msg="CONFIG_COMMAND_STATUS", command_status={})),
        (
            network.encode_done(SetNetwork("home", ""), Status.INVALID_ARGUMENT),
            ConfigPayload(msg="CONFIG_RESPONSE_SET", response_set={"status": "INVALID_ARGUMENT"}),
        ),
        (
            network.encode_done(ApplyNetwork(), Status.SUCCESS),
            ConfigPayload(msg="CONFIG_RESPONSE_APPLY", response_apply={}),
        ),
        (
            network.encode_status(NetworkStatus(Status.SUCCESS, "failed", "auth_error")),
            ConfigPayload(
                msg="CONFIG_RESPONSE_STATUS",
                response_status={"station_state": "CONNECTION_FAILED", "fail_reason": "AUTH_ERROR"},
            ),
        ),
        (
            network.encode_status(NetworkStatus(Status.SUCCESS, "connected", ip4_address="10.0.0.7", ssid="home")),
            ConfigPayload(
                msg="CONFIG_RESPONSE_STATUS",
                response_status={"connected": {"ip4_address": "10.0.0.7", "ssid": b"home"}},
            ),
        ),
        (control.encode_command("reset"), ControlPayload(msg="CONTROL_COMMAND_RESET", command_reset={})),
        (
            control.encode_command("reprovision"),
            ControlPayload(msg="CONTROL_COMMAND_REPROVISION", command_reprovision={}),
        ),
        (
            control.encode_done("reprovision", Status.INVALID_SESSION),
            ControlPayload(msg="CONTROL_RESPONSE_REPROVISION", status="INVALID_SESSION", response_reprovision={}),
        ),
    ],
)
def test_messages_are_what_the_generated_codec_writes(written: bytes, generated: Message) -> None:
    assert written == generated.SerializeToString()
