"""The body of `prov-session`: the four messages of Security 2, as frozen values."""

from dataclasses import dataclass
from typing import Final

from admittance.errors import Malformed
from admittance.wire.protobuf import Fields, data, message, number
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

MAX_USERNAME_BYTES = 64
PUBLIC_BYTES = 384
PROOF_BYTES = 64
NONCE_BYTES = 12
MAX_SALT_BYTES = 64

_SECURITY_VERSION: Final = 2
_SECURITY_2: Final = 2
_SECURITY_2_PAYLOAD: Final = 12
_MSG: Final = 1
_COMMAND_0, _RESPONSE_0, _COMMAND_1, _RESPONSE_1 = range(4)
_PAYLOAD: Final = 20
"""A payload's field is this number and that of its message."""
_PAYLOADS: Final = range(20, 24)


@dataclass(frozen=True, slots=True)
class OtherScheme:
    """A handshake of Security 0 or 1, which we do not speak."""

    version: int


@dataclass(frozen=True, slots=True)
class Command0:
    """The client's username (I) and public value (A, 384 bytes)."""

    username: str
    client_public: bytes


@dataclass(frozen=True, slots=True)
class Response0:
    """The device's public value (B, 384 bytes) and salt; both empty unless `status` is a success."""

    status: Status
    device_public: bytes = b""
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class Command1:
    """The client's proof (M1, 64 bytes)."""

    client_proof: bytes


@dataclass(frozen=True, slots=True)
class Response1:
    """The device's proof (M2, 64 bytes) and the first nonce (12 bytes); both empty unless a success."""

    status: Status
    device_proof: bytes = b""
    device_nonce: bytes = b""


Command = Command0 | Command1 | OtherScheme
Response = Response0 | Response1


def encode_command(command: Command0 | Command1) -> bytes:
    match command:
        case Command0():
            return _encode(_COMMAND_0, data(1, command.username.encode()) + data(2, command.client_public))
        case Command1():
            return _encode(_COMMAND_1, data(1, command.client_proof))


def encode_response(response: Response) -> bytes:
    status = number(1, response.status)
    match response:
        case Response0():
            return _encode(_RESPONSE_0, status + data(2, response.device_public) + data(3, response.salt))
        case Response1():
            return _encode(_RESPONSE_1, status + data(2, response.device_proof) + data(3, response.device_nonce))


def decode_command(encoded: bytes) -> Command:
    """Raises `Malformed` for anything that is not a command with fields of their exact lengths."""
    session = parse(encoded)
    version = session.signed(_SECURITY_VERSION)
    if version != _SECURITY_2:
        return OtherScheme(version)
    kind, payload = _payload(session)
    if kind == _COMMAND_0:
        username, public = payload.data(1), payload.data(2)
        _check_length("public value", public, PUBLIC_BYTES, PUBLIC_BYTES)
        _check_length("username", username, 1, MAX_USERNAME_BYTES)
        return Command0(text(username), public)
    if kind == _COMMAND_1:
        proof = payload.data(1)
        _check_length("proof", proof, PROOF_BYTES, PROOF_BYTES)
        return Command1(proof)
    raise Malformed("A session message that is no command.")


def decode_response0(encoded: bytes) -> Response0:
    """Raises `Malformed`. Only a success carries fields, of their exact lengths."""
    kind, response = _payload(parse(encoded))
    if kind != _RESPONSE_0:
        raise Malformed("A session message that is no response to the first command.")
    status = read_status(response.signed(1))
    if status is not Status.SUCCESS:
        return Response0(status)
    public, salt = response.data(2), response.data(3)
    _check_length("public value", public, PUBLIC_BYTES, PUBLIC_BYTES)
    _check_length("salt", salt, 1, MAX_SALT_BYTES)
    return Response0(status, public, salt)


def decode_response1(encoded: bytes) -> Response1:
    """Raises `Malformed`. Only a success carries fields, of their exact lengths."""
    kind, response = _payload(parse(encoded))
    if kind != _RESPONSE_1:
        raise Malformed("A session message that is no response to the second command.")
    status = read_status(response.signed(1))
    if status is not Status.SUCCESS:
        return Response1(status)
    proof, nonce = response.data(2), response.data(3)
    _check_length("proof", proof, PROOF_BYTES, PROOF_BYTES)
    _check_length("nonce", nonce, NONCE_BYTES, NONCE_BYTES)
    return Response1(status, proof, nonce)


def _encode(kind: int, payload: bytes) -> bytes:
    security2 = number(_MSG, kind) + message(_PAYLOAD + kind, payload)
    return number(_SECURITY_VERSION, _SECURITY_2) + message(_SECURITY_2_PAYLOAD, security2)


def _payload(session: Fields) -> tuple[int, Fields]:
    """Which of the four messages it is, and its fields."""
    if session.signed(_SECURITY_VERSION) != _SECURITY_2 or session.chosen(10, 11, 12) != _SECURITY_2_PAYLOAD:
        raise Malformed("A session message that is not of Security 2.")
    security2 = session.message(_SECURITY_2_PAYLOAD)
    kind = security2.signed(_MSG)
    if security2.chosen(*_PAYLOADS) != _PAYLOAD + kind:
        raise Malformed("A session message without its payload.")
    return kind, security2.message(_PAYLOAD + kind)


def _check_length(what: str, data: bytes, least: int, most: int) -> None:
    if not least <= len(data) <= most:
        raise Malformed(f"A {what} of {len(data)} bytes.")
