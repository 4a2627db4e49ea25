"""Messages of the `admit-*` endpoints, carried inside a Security 2 session.

========== ======================= ==========================
endpoint   request                 answer
========== ======================= ==========================
hello      `HelloRequest`          `Hello`
evidence   `EvidenceRequest`       `EvidenceAnswer`
config     `ConfigurationRequest`  `ConfigurationAnswer`
network    `NetworkRequest`        `NetworkAnswer`
code       `CodeRequest`           `CodeAnswer`
status     `StatusRequest`         `Status`
========== ======================= ==========================

An answer travels as CBOR ``[0, body]``; a refusal as ``[1, code, detail]``, where the code is the stable
word of an error and the detail a sentence for people.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, to_builtins

from admittance.errors import Malformed
from admittance.wire import cbor, message
from admittance.wire.evidence import SealAlgorithm
from admittance.wire.message import Bytes16, Bytes32, Message, Unsigned, Word
from admittance.wire.sealed import CHANNEL_SPKI_BYTES

HELLO: Final = "admit-hello"
EVIDENCE: Final = "admit-evidence"
CONFIG: Final = "admit-config"
NETWORK: Final = "admit-network"
CODE: Final = "admit-code"
STATUS: Final = "admit-status"

MAX_ANSWER_BYTES: Final = 16 * 1024

Presence = Literal["display", "button"]
State = Literal["idle", "trying", "joined", "online", "factor", "enrolled", "failed"]
Cause = Literal[
    "",
    "wrong_password",
    "not_found",
    "no_address",
    "no_server",
    "server_refused",
    "untrusted_server",
    "clock",
    "factor_required",
    "factor_refused",
    "approval_pending",
]


class HelloRequest(Message, frozen=True, tag="admittance/hello/1"):
    """Asks who the device is; opens a transaction when none is open."""


class Hello(Message, frozen=True):
    """Who the device is and what it can do.

    `epoch` counts its owners; `transaction_id` names the open transaction; `seal` is the way to seal a
    configuration to it.
    """

    device_id: str
    model: str
    presence: Presence
    owned: bool
    epoch: Unsigned
    server_origin: str
    transaction_id: Bytes16
    seal: SealAlgorithm
    wifi_scan: bool
    transport: Literal["softap", "ble"]


class EvidenceRequest(Message, frozen=True):
    """Asks the device to sign evidence over the server's 32-byte challenge."""

    challenge: Bytes32


class EvidenceAnswer(Message, frozen=True):
    """COSE_Sign1 evidence, and the code that opens later sessions of this transaction."""

    evidence: bytes
    transaction_id: Bytes16
    resume_code: Bytes16


class ConfigurationRequest(Message, frozen=True):
    """The server's sealed configuration, and the app key that protects the premises network in it.

    With it the app names itself as the owner's: `channel` is the key (SPKI, P-256) of its end of a channel to the
    device, `signing` the one that countersigns admissions, `name` what lists of credentials show. An app that brings
    no channel key is not listed.
    """

    sealed: bytes
    app_key: Bytes32
    channel: Annotated[bytes, Meta(max_length=CHANNEL_SPKI_BYTES)] = b""
    signing: Annotated[bytes, Meta(max_length=CHANNEL_SPKI_BYTES)] = b""
    name: Word = ""

    def __post_init__(self) -> None:
        if {len(self.channel), len(self.signing)} - {0, CHANNEL_SPKI_BYTES}:
            raise Malformed("ConfigurationRequest with a key of the wrong size")
        if self.signing and not self.channel:
            raise Malformed("ConfigurationRequest with a signing key and no channel key")


class ConfigurationAnswer(Message, frozen=True):
    """The sequence number that the device accepted, and the state of its network."""

    sequence: Unsigned
    status: State


class NetworkRequest(Message, frozen=True):
    """A premises network under the app key; `attempt` grows by at least one with each new network."""

    attempt: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    salt: Bytes32
    ciphertext: bytes


class NetworkAnswer(Message, frozen=True):
    status: State


class CodeRequest(Message, frozen=True):
    """An enrolment code, as its reader typed it: the second factor of the enrolment under way."""

    code: Word

    def __repr__(self) -> str:
        return "CodeRequest(…)"


class CodeAnswer(Message, frozen=True):
    status: State


class StatusRequest(Message, frozen=True, tag="admittance/status/1"):
    """Asks how far the device has come."""


class Status(Message, frozen=True):
    """How far the device has come.

    `state` "online" means that the server was reached over TLS under the pinned anchors and the network
    was kept; "factor" that the server wants a second factor before it enrols the device. `cause` names why the latest
    attempt failed, or what the factor waits for. `deadline_s` is the time left in the transaction.
    """

    state: State
    cause: Cause
    attempt: Unsigned
    deadline_s: Unsigned


@dataclass(frozen=True)
class Refusal:
    """A request that the device refused: a stable code, and a sentence for people."""

    code: str
    detail: str


AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode_answer(body: Message) -> bytes:
    """Encode a successful answer."""
    return cbor.encode([0, to_builtins(body, builtin_types=(bytes,))])


def encode_refusal(refusal: Refusal) -> bytes:
    """Encode a refusal."""
    return cbor.encode([1, refusal.code, refusal.detail])


def decode_answer(data: bytes, expected: type[AnyMessage]) -> AnyMessage | Refusal:
    """Decode the answer of an `admit-*` endpoint. Raises `Malformed`."""
    value = cbor.decode(data, max_bytes=MAX_ANSWER_BYTES)
    match value:
        case [0, list() as body]:
            return message.decode(cbor.encode(body), expected)
        case [1, str() as code, str() as detail]:
            return Refusal(code, detail)
    raise Malformed("The device's answer is neither a result nor a refusal.")
