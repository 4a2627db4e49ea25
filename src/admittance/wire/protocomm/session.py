"""The body of `prov-session`: the four messages of Security 2, as frozen values."""

from dataclasses import dataclass

from admittance.errors import Malformed
from admittance.wire.protocomm import sec2_pb2, session_pb2
from admittance.wire.protocomm.parsing import Status, parse, read_status, text

MAX_USERNAME_BYTES = 64
PUBLIC_BYTES = 384
PROOF_BYTES = 64
NONCE_BYTES = 12
MAX_SALT_BYTES = 64


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
    payload = sec2_pb2.Sec2Payload()
    match command:
        case Command0():
            payload.msg = sec2_pb2.SEC2_COMMAND_0
            payload.command0.client_username = command.username.encode()
            payload.command0.client_public = command.client_public
        case Command1():
            payload.msg = sec2_pb2.SEC2_COMMAND_1
            payload.command1.client_proof = command.client_proof
    return _wrap(payload)


def encode_response(response: Response) -> bytes:
    payload = sec2_pb2.Sec2Payload()
    match response:
        case Response0():
            payload.msg = sec2_pb2.SEC2_RESPONSE_0
            payload.response0.CopyFrom(
                sec2_pb2.Sec2Response0(
                    status=response.status.name,
                    device_public=response.device_public,
                    device_salt=response.salt,
                )
            )
        case Response1():
            payload.msg = sec2_pb2.SEC2_RESPONSE_1
            payload.response1.CopyFrom(
                sec2_pb2.Sec2Response1(
                    status=response.status.name,
                    device_proof=response.device_proof,
                    device_nonce=response.device_nonce,
                )
            )
    return _wrap(payload)


def decode_command(data: bytes) -> Command:
    """Raises `Malformed` for anything that is not a command with fields of their exact lengths."""
    session = parse(data, session_pb2.SessionData)
    if session.sec_ver != session_pb2.SECURITY_2:
        return OtherScheme(session.sec_ver)
    payload = _payload(session)
    if payload.msg == sec2_pb2.SEC2_COMMAND_0 and payload.HasField("command0"):
        command0 = payload.command0
        _check_length("public value", command0.client_public, PUBLIC_BYTES, PUBLIC_BYTES)
        _check_length("username", command0.client_username, 1, MAX_USERNAME_BYTES)
        return Command0(text(command0.client_username), command0.client_public)
    if payload.msg == sec2_pb2.SEC2_COMMAND_1 and payload.HasField("command1"):
        _check_length("proof", payload.command1.client_proof, PROOF_BYTES, PROOF_BYTES)
        return Command1(payload.command1.client_proof)
    raise Malformed("A session message that is no command.")


def decode_response0(data: bytes) -> Response0:
    """Raises `Malformed`. Only a success carries fields, of their exact lengths."""
    payload = _payload(parse(data, session_pb2.SessionData))
    if payload.msg != sec2_pb2.SEC2_RESPONSE_0 or not payload.HasField("response0"):
        raise Malformed("A session message that is no response to the first command.")
    response = payload.response0
    status = read_status(response.status)
    if status is not Status.SUCCESS:
        return Response0(status)
    _check_length("public value", response.device_public, PUBLIC_BYTES, PUBLIC_BYTES)
    _check_length("salt", response.device_salt, 1, MAX_SALT_BYTES)
    return Response0(status, response.device_public, response.device_salt)


def decode_response1(data: bytes) -> Response1:
    """Raises `Malformed`. Only a success carries fields, of their exact lengths."""
    payload = _payload(parse(data, session_pb2.SessionData))
    if payload.msg != sec2_pb2.SEC2_RESPONSE_1 or not payload.HasField("response1"):
        raise Malformed("A session message that is no response to the second command.")
    response = payload.response1
    status = read_status(response.status)
    if status is not Status.SUCCESS:
        return Response1(status)
    _check_length("proof", response.device_proof, PROOF_BYTES, PROOF_BYTES)
    _check_length("nonce", response.device_nonce, NONCE_BYTES, NONCE_BYTES)
    return Response1(status, response.device_proof, response.device_nonce)


def _wrap(payload: sec2_pb2.Sec2Payload) -> bytes:
    return session_pb2.SessionData(sec_ver=session_pb2.SECURITY_2, sec2=payload).SerializeToString()


def _payload(session: session_pb2.SessionData) -> sec2_pb2.Sec2Payload:
    if session.sec_ver != session_pb2.SECURITY_2 or not session.HasField("sec2"):
        raise Malformed("A session message that is not of Security 2.")
    return session.sec2


def _check_length(what: str, data: bytes, least: int, most: int) -> None:
    if not least <= len(data) <= most:
        raise Malformed(f"A {what} of {len(data)} bytes.")
