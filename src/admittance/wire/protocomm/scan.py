"""The body of `prov-scan`, inside a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from admittance.errors import Malformed
from admittance.wire.protobuf import Fields, data, message, number
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

Auth = Literal["open", "wep", "wpa", "wpa2", "wpa_wpa2", "wpa2_enterprise", "wpa3", "wpa2_wpa3", "other"]

MAX_SSID_BYTES: Final = 32
BSSID_BYTES: Final = 6

PERIOD_MS: Final = 120

_AUTHS: Final[tuple[Auth, ...]] = get_args(Auth)[:-1]
_MSG: Final = 1
_COMMAND_START, _RESPONSE_START = 0, 1
_COMMAND_STATUS, _RESPONSE_STATUS = 2, 3
_COMMAND_RESULT, _RESPONSE_RESULT = 4, 5
_PAYLOAD: Final = 10
"""A payload's field is this number and that of its message."""
_PAYLOADS: Final = range(10, 16)


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
    match command:
        case StartScan():
            return _encode(_COMMAND_START, number(1, command.blocking) + number(4, PERIOD_MS))
        case AskScanStatus():
            return _encode(_COMMAND_STATUS)
        case AskScanResult():
            return _encode(_COMMAND_RESULT, number(1, command.start_index) + number(2, command.count))


def decode_command(encoded: bytes) -> ScanCommand:
    """Raises `Malformed`."""
    fields = parse(encoded)
    kind, chosen = fields.signed(_MSG), fields.chosen(*_PAYLOADS)
    payload = fields.message(_PAYLOAD + kind)
    if chosen == _PAYLOAD + kind or chosen is None:
        if kind == _COMMAND_START:
            return StartScan(payload.flag(1))
        if kind == _COMMAND_STATUS:
            return AskScanStatus()
        if kind == _COMMAND_RESULT:
            return AskScanResult(payload.unsigned(1), payload.unsigned(2))
    raise Malformed("A scan message that is no command.")


def encode_started() -> bytes:
    return _encode(_RESPONSE_START)


def decode_started(encoded: bytes) -> Status:
    """Raises `Malformed`."""
    return read_status(_response(encoded, _RESPONSE_START).signed(2))


def encode_status(status: ScanStatus) -> bytes:
    return _encode(_RESPONSE_STATUS, number(1, status.finished) + number(2, status.count))


def decode_status(encoded: bytes) -> ScanStatus:
    """Raises `Malformed`."""
    answer = _response(encoded, _RESPONSE_STATUS).message(_PAYLOAD + _RESPONSE_STATUS)
    return ScanStatus(answer.flag(1), answer.unsigned(2))


def encode_result(networks: Sequence[ScannedNetwork]) -> bytes:
    return _encode(_RESPONSE_RESULT, b"".join(message(1, _entry(network)) for network in networks))


def decode_result(encoded: bytes) -> tuple[ScannedNetwork | None, ...]:
    """The networks of one answer; None for one whose SSID is hidden or not UTF-8, which nobody can name.

    Raises `Malformed`.
    """
    answer = _response(encoded, _RESPONSE_RESULT).message(_PAYLOAD + _RESPONSE_RESULT)
    return tuple(_network(entry) for entry in answer.messages(1))


def _entry(network: ScannedNetwork) -> bytes:
    if network.auth == "other":
        raise Malformed("An authentication mode without a number on the wire.")
    return (
        data(1, network.ssid.encode())
        + number(2, network.channel)
        + number(3, network.signal_dbm)
        + data(4, network.bssid)
        + number(5, _AUTHS.index(network.auth))
    )


def _network(entry: Fields) -> ScannedNetwork | None:
    ssid, bssid, number_of_auth = entry.data(1).rstrip(b"\0"), entry.data(4), entry.signed(5)
    if len(ssid) > MAX_SSID_BYTES or len(bssid) not in (0, BSSID_BYTES):
        raise Malformed("A network with an SSID or BSSID of a length that Wi-Fi does not have.")
    auth = _AUTHS[number_of_auth] if 0 <= number_of_auth < len(_AUTHS) else "other"
    try:
        name = text(ssid)
    except Malformed:
        return None
    return ScannedNetwork(name, bssid, entry.unsigned(2), entry.signed(3), auth) if name else None


def _encode(kind: int, payload: bytes = b"") -> bytes:
    return number(_MSG, kind) + message(_PAYLOAD + kind, payload)


def _response(encoded: bytes, kind: int) -> Fields:
    fields = parse(encoded)
    if fields.signed(_MSG) != kind:
        raise Malformed("A scan message that does not answer the command.")
    return fields
