"""The body of `prov-scan`, inside a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from admittance.errors import Malformed
from admittance.wire.protocomm import wifi_constants_pb2, wifi_scan_pb2
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

Auth = Literal["open", "wep", "wpa", "wpa2", "wpa_wpa2", "wpa2_enterprise", "wpa3", "wpa2_wpa3", "other"]

MAX_SSID_BYTES: Final = 32
BSSID_BYTES: Final = 6

_AUTHS: Final[tuple[Auth, ...]] = get_args(Auth)[:-1]


@dataclass(frozen=True, slots=True)
class ScannedNetwork:
    """One network of a scan. `bssid` has 6 bytes or none, `signal_dbm` is negative."""

    ssid: str
    bssid: bytes
    channel: int
    signal_dbm: int
    auth: Auth


@dataclass(frozen=True, slots=True)
class StartScan:
    """`blocking` asks for an answer only after the scan's end."""

    blocking: bool


@dataclass(frozen=True, slots=True)
class AskScanStatus:
    """Asks whether the scan ended, and how many networks it found."""


@dataclass(frozen=True, slots=True)
class AskScanResult:
    """Asks for `count` networks from `start_index` on."""

    start_index: int
    count: int


ScanCommand = StartScan | AskScanStatus | AskScanResult


@dataclass(frozen=True, slots=True)
class ScanStatus:
    finished: bool
    count: int


def encode_command(command: ScanCommand) -> bytes:
    payload = wifi_scan_pb2.ScanPayload()
    match command:
        case StartScan():
            payload.msg = wifi_scan_pb2.SCAN_COMMAND_START
            payload.command_start.blocking = command.blocking
            payload.command_start.period_ms = 120
        case AskScanStatus():
            payload.msg = wifi_scan_pb2.SCAN_COMMAND_STATUS
            payload.command_status.SetInParent()
        case AskScanResult():
            payload.msg = wifi_scan_pb2.SCAN_COMMAND_RESULT
            payload.command_result.start_index = command.start_index
            payload.command_result.count = command.count
    return payload.SerializeToString()


def decode_command(data: bytes) -> ScanCommand:
    """Raises `Malformed`."""
    payload = parse(data, wifi_scan_pb2.ScanPayload)
    match payload.msg, payload.WhichOneof("payload"):
        case wifi_scan_pb2.SCAN_COMMAND_START, "command_start" | None:
            return StartScan(payload.command_start.blocking)
        case wifi_scan_pb2.SCAN_COMMAND_STATUS, "command_status" | None:
            return AskScanStatus()
        case wifi_scan_pb2.SCAN_COMMAND_RESULT, "command_result" | None:
            return AskScanResult(payload.command_result.start_index, payload.command_result.count)
    raise Malformed("A scan message that is no command.")


def encode_started() -> bytes:
    payload = wifi_scan_pb2.ScanPayload(msg=wifi_scan_pb2.SCAN_RESPONSE_START)
    payload.response_start.SetInParent()
    return payload.SerializeToString()


def decode_started(data: bytes) -> Status:
    """Raises `Malformed`."""
    return read_status(_response(data, wifi_scan_pb2.SCAN_RESPONSE_START).status)


def encode_status(status: ScanStatus) -> bytes:
    return wifi_scan_pb2.ScanPayload(
        msg=wifi_scan_pb2.SCAN_RESPONSE_STATUS,
        response_status=wifi_scan_pb2.ScanResponseStatus(scan_finished=status.finished, result_count=status.count),
    ).SerializeToString()


def decode_status(data: bytes) -> ScanStatus:
    """Raises `Malformed`."""
    answer = _response(data, wifi_scan_pb2.SCAN_RESPONSE_STATUS).response_status
    return ScanStatus(answer.scan_finished, answer.result_count)


def encode_result(networks: Sequence[ScannedNetwork]) -> bytes:
    return wifi_scan_pb2.ScanPayload(
        msg=wifi_scan_pb2.SCAN_RESPONSE_RESULT,
        response_result=wifi_scan_pb2.ScanResponseResult(entries=[_entry(network) for network in networks]),
    ).SerializeToString()


def decode_result(data: bytes) -> tuple[ScannedNetwork | None, ...]:
    """The networks of one answer; None for one whose SSID is hidden or not UTF-8, which nobody can name.

    Raises `Malformed`.
    """
    payload = _response(data, wifi_scan_pb2.SCAN_RESPONSE_RESULT)
    return tuple(_network(entry) for entry in payload.response_result.entries)


def _entry(network: ScannedNetwork) -> wifi_scan_pb2.ScanEntry:
    if network.auth == "other":
        raise Malformed("An authentication mode without a number on the wire.")
    return wifi_scan_pb2.ScanEntry(
        ssid=network.ssid.encode(),
        bssid=network.bssid,
        channel=network.channel,
        rssi=network.signal_dbm,
        auth=wifi_constants_pb2.AuthMode.Name(_AUTHS.index(network.auth)),
    )


def _network(entry: wifi_scan_pb2.ScanEntry) -> ScannedNetwork | None:
    ssid = entry.ssid.rstrip(b"\0")
    if len(ssid) > MAX_SSID_BYTES or len(entry.bssid) not in (0, BSSID_BYTES):
        raise Malformed("A network with an SSID or BSSID of a length that Wi-Fi does not have.")
    auth = _AUTHS[entry.auth] if 0 <= entry.auth < len(_AUTHS) else "other"
    try:
        name = text(ssid)
    except Malformed:
        return None
    return ScannedNetwork(name, entry.bssid, entry.channel, entry.rssi, auth) if name else None


def _response(data: bytes, kind: int) -> wifi_scan_pb2.ScanPayload:
    payload = parse(data, wifi_scan_pb2.ScanPayload)
    if payload.msg != kind:
        raise Malformed("A scan message that does not answer the command.")
    return payload
