"""The body of `prov-ctrl`, inside a session."""

from typing import Final, Literal

from admittance.errors import Malformed
from admittance.wire.protocomm import wifi_ctrl_pb2
from admittance.wire.protocomm.parsing import Status, parse, read_status

ControlCommand = Literal["reset", "reprovision"]

_COMMANDS: Final[dict[int, ControlCommand]] = {
    wifi_ctrl_pb2.CONTROL_COMMAND_RESET: "reset",
    wifi_ctrl_pb2.CONTROL_COMMAND_REPROVISION: "reprovision",
}


def encode_command(command: ControlCommand) -> bytes:
    payload = wifi_ctrl_pb2.ControlPayload()
    if command == "reset":
        payload.msg = wifi_ctrl_pb2.CONTROL_COMMAND_RESET
        payload.command_reset.SetInParent()
    else:
        payload.msg = wifi_ctrl_pb2.CONTROL_COMMAND_REPROVISION
        payload.command_reprovision.SetInParent()
    return payload.SerializeToString()


def decode_command(data: bytes) -> ControlCommand:
    """Raises `Malformed`."""
    payload = parse(data, wifi_ctrl_pb2.ControlPayload)
    command = _COMMANDS.get(payload.msg)
    if command is None or payload.WhichOneof("payload") not in (None, f"command_{command}"):
        raise Malformed("A control message that is no command.")
    return command


def encode_done(command: ControlCommand, status: Status) -> bytes:
    """The answer to `command`."""
    payload = wifi_ctrl_pb2.ControlPayload(status=status.name)
    if command == "reset":
        payload.msg = wifi_ctrl_pb2.CONTROL_RESPONSE_RESET
        payload.response_reset.SetInParent()
    else:
        payload.msg = wifi_ctrl_pb2.CONTROL_RESPONSE_REPROVISION
        payload.response_reprovision.SetInParent()
    return payload.SerializeToString()


def decode_done(data: bytes, command: ControlCommand) -> Status:
    """Raises `Malformed` for anything but the answer to `command`."""
    payload = parse(data, wifi_ctrl_pb2.ControlPayload)
    if payload.WhichOneof("payload") != f"response_{command}":
        raise Malformed("A control message that does not answer the command.")
    return read_status(payload.status)
