"""The body of `prov-ctrl`, inside a session."""

from typing import Final, Literal

from admittance.errors import Malformed
from admittance.wire.protobuf import message, number
from admittance.wire.protocomm.parsing import Status, parse, read_status

ControlCommand = Literal["reset", "reprovision"]

_MSG: Final = 1
_STATUS: Final = 2
_COMMANDS: Final[dict[int, ControlCommand]] = {1: "reset", 3: "reprovision"}
_MSG_OF_COMMAND: Final[dict[ControlCommand, int]] = {command: msg for msg, command in _COMMANDS.items()}
_COMMAND_FIELDS: Final[dict[ControlCommand, int]] = {"reset": 11, "reprovision": 13}
_ANSWER_FIELDS: Final[dict[ControlCommand, int]] = {"reset": 12, "reprovision": 14}
_FIELDS: Final = (11, 12, 13, 14)


def encode_command(command: ControlCommand) -> bytes:
    return number(_MSG, _MSG_OF_COMMAND[command]) + message(_COMMAND_FIELDS[command], b"")


def decode_command(data: bytes) -> ControlCommand:
    """Raises `Malformed`."""
    payload = parse(data)
    command = _COMMANDS.get(payload.signed(_MSG))
    if command is None or payload.chosen(*_FIELDS) not in (None, _COMMAND_FIELDS[command]):
        raise Malformed("A control message that is no command.")
    return command


def encode_done(command: ControlCommand, status: Status) -> bytes:
    """The answer to `command`."""
    answer = number(_MSG, _MSG_OF_COMMAND[command] + 1) + number(_STATUS, status)
    return answer + message(_ANSWER_FIELDS[command], b"")


def decode_done(data: bytes, command: ControlCommand) -> Status:
    """Raises `Malformed` for anything but the answer to `command`."""
    payload = parse(data)
    if payload.chosen(*_FIELDS) != _ANSWER_FIELDS[command]:
        raise Malformed("A control message that does not answer the command.")
    return read_status(payload.signed(_STATUS))
