"""The body of `prov-config`, inside a session: which network to join, and how that went."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from admittance.errors import Malformed
from admittance.wire.protocomm import wifi_config_pb2, wifi_constants_pb2
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

StationState = Literal["connected", "connecting", "disconnected", "failed"]
FailReason = Literal["auth_error", "network_not_found"]

MAX_SSID_BYTES: Final = 32
MAX_PASSPHRASE_BYTES: Final = 64
MAX_ADDRESS_CHARACTERS: Final = 15

_STATES: Final[tuple[StationState, ...]] = get_args(StationState)
_REASONS: Final[tuple[FailReason, ...]] = get_args(FailReason)


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
    payload = wifi_config_pb2.ConfigPayload()
    match command:
        case SetNetwork():
            payload.msg = wifi_config_pb2.CONFIG_COMMAND_SET
            payload.command_set.ssid = command.ssid.encode()
            payload.command_set.passphrase = command.passphrase.encode()
        case ApplyNetwork():
            payload.msg = wifi_config_pb2.CONFIG_COMMAND_APPLY
            payload.command_apply.SetInParent()
        case AskNetworkStatus():
            payload.msg = wifi_config_pb2.CONFIG_COMMAND_STATUS
            payload.command_status.SetInParent()
    return payload.SerializeToString()


def decode_command(data: bytes) -> ConfigCommand:
    """Raises `Malformed`, also for an SSID or passphrase of a length that Wi-Fi does not have."""
    payload = parse(data, wifi_config_pb2.ConfigPayload)
    match payload.msg, payload.WhichOneof("payload"):
        case wifi_config_pb2.CONFIG_COMMAND_STATUS, "command_status" | None:
            return AskNetworkStatus()
        case wifi_config_pb2.CONFIG_COMMAND_APPLY, "command_apply" | None:
            return ApplyNetwork()
        case wifi_config_pb2.CONFIG_COMMAND_SET, "command_set":
            command = payload.command_set
            if not 1 <= len(command.ssid) <= MAX_SSID_BYTES or len(command.passphrase) > MAX_PASSPHRASE_BYTES:
                raise Malformed("An SSID has 1 to 32 bytes and a passphrase at most 64.")
            return SetNetwork(text(command.ssid), text(command.passphrase))
    raise Malformed("A configuration message that is no command.")


def encode_done(command: SetNetwork | ApplyNetwork, status: Status) -> bytes:
    """The answer to `command`."""
    payload = wifi_config_pb2.ConfigPayload()
    if isinstance(command, SetNetwork):
        payload.msg = wifi_config_pb2.CONFIG_RESPONSE_SET
        payload.response_set.CopyFrom(wifi_config_pb2.ConfigResponseSet(status=status.name))
    else:
        payload.msg = wifi_config_pb2.CONFIG_RESPONSE_APPLY
        payload.response_apply.CopyFrom(wifi_config_pb2.ConfigResponseApply(status=status.name))
    return payload.SerializeToString()


def decode_done(data: bytes, command: SetNetwork | ApplyNetwork) -> Status:
    """Raises `Malformed` for anything but the answer to `command`."""
    payload = parse(data, wifi_config_pb2.ConfigPayload)
    match payload.msg, command:
        case wifi_config_pb2.CONFIG_RESPONSE_SET, SetNetwork():
            return read_status(payload.response_set.status)
        case wifi_config_pb2.CONFIG_RESPONSE_APPLY, ApplyNetwork():
            return read_status(payload.response_apply.status)
    raise Malformed("A configuration message that does not answer the command.")


def encode_status(answer: NetworkStatus) -> bytes:
    response = wifi_config_pb2.ConfigResponseStatus(
        status=answer.status.name,
        station_state=wifi_constants_pb2.StationState.Name(_STATES.index(answer.state)),
    )
    if answer.state == "connected":
        response.connected.ip4_address = answer.ip4_address
        response.connected.ssid = answer.ssid.encode()
    elif answer.fail_reason is not None:
        reason = wifi_constants_pb2.FailReason.Name(_REASONS.index(answer.fail_reason))
        response.MergeFrom(wifi_config_pb2.ConfigResponseStatus(fail_reason=reason))
    return wifi_config_pb2.ConfigPayload(
        msg=wifi_config_pb2.CONFIG_RESPONSE_STATUS, response_status=response
    ).SerializeToString()


def decode_status(data: bytes) -> NetworkStatus:
    """Raises `Malformed`."""
    payload = parse(data, wifi_config_pb2.ConfigPayload)
    if payload.msg != wifi_config_pb2.CONFIG_RESPONSE_STATUS:
        raise Malformed("A configuration message that is no status.")
    response = payload.response_status
    if not 0 <= response.station_state < len(_STATES) or not 0 <= response.fail_reason < len(_REASONS):
        raise Malformed("A state of the network that nobody defined.")
    if len(response.connected.ssid) > MAX_SSID_BYTES or (
        len(response.connected.ip4_address) > MAX_ADDRESS_CHARACTERS
    ):
        raise Malformed("A network with an SSID or address of a length that it cannot have.")
    state = _STATES[response.station_state]
    return NetworkStatus(
        status=read_status(response.status),
        state=state,
        fail_reason=_REASONS[response.fail_reason] if state == "failed" else None,
        ip4_address=response.connected.ip4_address,
        ssid=text(response.connected.ssid),
    )
