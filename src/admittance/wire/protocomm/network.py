"""The body of `prov-config`, inside a session: which network to join, and how that went."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from admittance.errors import Malformed
from admittance.wire.protobuf import Fields, data, message, number
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

StationState = Literal["connected", "connecting", "disconnected", "failed"]
FailReason = Literal["auth_error", "network_not_found"]

MAX_SSID_BYTES: Final = 32
MAX_PASSPHRASE_BYTES: Final = 64
MAX_ADDRESS_CHARACTERS: Final = 15

_STATES: Final[tuple[StationState, ...]] = get_args(StationState)
_REASONS: Final[tuple[FailReason, ...]] = get_args(FailReason)
_MSG: Final = 1
_COMMAND_STATUS, _RESPONSE_STATUS = 0, 1
_COMMAND_SET, _RESPONSE_SET = 2, 3
_COMMAND_APPLY, _RESPONSE_APPLY = 4, 5
_PAYLOAD: Final = 10
"""A payload's field is this number and that of its message."""
_PAYLOADS: Final = range(10, 16)
_CONNECTED: Final = 11
_FAIL_REASON: Final = 10


@dataclass(frozen=True, slots=True)
class SetNetwork:
    """SSID (1 to 32 bytes of UTF-8) and passphrase (up to 64 bytes, none for an open network)."""

    ssid: str
    passphrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApplyNetwork:
    """Asks the device to join the network that was set."""


@dataclass(frozen=True, slots=True)
class AskNetworkStatus:
    """Asks how joining went."""


ConfigCommand = SetNetwork | ApplyNetwork | AskNetworkStatus


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """`fail_reason` is there while `state` is "failed", address and SSID while it is "connected"."""

    status: Status
    state: StationState = "disconnected"
    fail_reason: FailReason | None = None
    ip4_address: str = ""
    ssid: str = ""


def encode_command(command: ConfigCommand) -> bytes:
    match command:
        case SetNetwork():
            return _encode(_COMMAND_SET, data(1, command.ssid.encode()) + data(2, command.passphrase.encode()))
        case ApplyNetwork():
            return _encode(_COMMAND_APPLY)
        case AskNetworkStatus():
            return _encode(_COMMAND_STATUS)


def decode_command(encoded: bytes) -> ConfigCommand:
    """Raises `Malformed`, also for an SSID or passphrase of a length that Wi-Fi does not have."""
    fields = parse(encoded)
    kind, chosen = fields.signed(_MSG), fields.chosen(*_PAYLOADS)
    if kind == _COMMAND_SET and chosen == _PAYLOAD + kind:
        return _read_network(fields.message(chosen))
    if chosen == _PAYLOAD + kind or chosen is None:
        if kind == _COMMAND_STATUS:
            return AskNetworkStatus()
        if kind == _COMMAND_APPLY:
            return ApplyNetwork()
    raise Malformed("A configuration message that is no command.")


def encode_done(command: SetNetwork | ApplyNetwork, status: Status) -> bytes:
    """The answer to `command`."""
    return _encode(_response_to(command), number(1, status))


def decode_done(encoded: bytes, command: SetNetwork | ApplyNetwork) -> Status:
    """Raises `Malformed` for anything but the answer to `command`."""
    fields = parse(encoded)
    kind = _response_to(command)
    if fields.signed(_MSG) != kind:
        raise Malformed("A configuration message that does not answer the command.")
    return read_status(fields.message(_PAYLOAD + kind).signed(1))


def encode_status(answer: NetworkStatus) -> bytes:
    response = number(1, answer.status) + number(2, _STATES.index(answer.state))
    if answer.state == "connected":
        response += message(_CONNECTED, data(1, answer.ip4_address.encode()) + data(3, answer.ssid.encode()))
    elif answer.fail_reason is not None:
        response += number(_FAIL_REASON, _REASONS.index(answer.fail_reason), chosen=True)
    return _encode(_RESPONSE_STATUS, response)


def decode_status(encoded: bytes) -> NetworkStatus:
    """Raises `Malformed`."""
    fields = parse(encoded)
    if fields.signed(_MSG) != _RESPONSE_STATUS:
        raise Malformed("A configuration message that is no status.")
    response = fields.message(_PAYLOAD + _RESPONSE_STATUS)
    connected = response.message(_CONNECTED)
    ssid, address = connected.data(3), connected.data(1)
    state, reason = response.signed(2), response.signed(_FAIL_REASON)
    if not 0 <= state < len(_STATES) or not 0 <= reason < len(_REASONS):
        raise Malformed("A state of the network that nobody defined.")
    if len(ssid) > MAX_SSID_BYTES or len(address) > MAX_ADDRESS_CHARACTERS:
        raise Malformed("A network with an SSID or address of a length that it cannot have.")
    return NetworkStatus(
        status=read_status(response.signed(1)),
        state=_STATES[state],
        fail_reason=_REASONS[reason] if _STATES[state] == "failed" else None,
        ip4_address=text(address),
        ssid=text(ssid),
    )


def _read_network(command: Fields) -> SetNetwork:
    ssid, passphrase = command.data(1), command.data(2)
    if not 1 <= len(ssid) <= MAX_SSID_BYTES or len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise Malformed("An SSID has 1 to 32 bytes and a passphrase at most 64.")
    return SetNetwork(text(ssid), text(passphrase))


def _response_to(command: SetNetwork | ApplyNetwork) -> int:
    return _RESPONSE_SET if isinstance(command, SetNetwork) else _RESPONSE_APPLY


def _encode(kind: int, payload: bytes = b"") -> bytes:
    return number(_MSG, kind) + message(_PAYLOAD + kind, payload)
