"""Messages of enrolment, renewal and reset between a device and the server's first-contact listener."""

from typing import Annotated, Literal

import msgspec

from admittance.errors import Malformed
from admittance.wire.message import Bytes16, Bytes32, Message, Unsigned, Word
from admittance.wire.sealed import TICKET_BYTES


class NonceRequest(Message, frozen=True):
    device_id: Word


class Nonce(Message, frozen=True):
    """A single-use nonce for one signed request of the device that asked for it."""

    nonce: Bytes32
    server_time: Unsigned


FactorKind = Literal["code", "totp", "sms", "approval"]


class TpmProof(Message, frozen=True):
    """The secret (32 bytes) of a credential challenge, which only the challenged TPM could decrypt."""

    challenge_id: Bytes16
    secret: Bytes32

    def __repr__(self) -> str:
        return "TpmProof(…)"


class Factor(Message, frozen=True):
    """A second factor: a one-time code of its kind; empty to ask for the owner's approval, or for an SMS code."""

    kind: FactorKind
    value: Word

    def __repr__(self) -> str:
        return f"Factor(kind={self.kind!r}, …)"


class EnrolmentRequest(Message, frozen=True, tag="admittance/enrolment/1"):
    """Signed by identity; `csr` is a PKCS #10 request (DER) signed by the new operational key.

    `ticket` is 32 bytes at the first enrolment for an owner, and empty at renewal or when enrolling again. With
    `proof` the CSR carries the attestation of a TPM (see `protocol.enrolment.attested`).
    """

    nonce: Bytes32
    device_id: Word
    epoch: Unsigned
    ticket: Annotated[bytes, msgspec.Meta(max_length=32)]
    csr: Annotated[bytes, msgspec.Meta(max_length=4096)]
    proof: TpmProof | None = None
    factor: Factor | None = None

    def __post_init__(self) -> None:
        if len(self.ticket) not in (0, TICKET_BYTES):
            raise Malformed("EnrolmentRequest with a ticket of the wrong size")

    def __repr__(self) -> str:
        return f"EnrolmentRequest(device_id={self.device_id!r}, epoch={self.epoch}, …)"


class Enrolled(Message, frozen=True):
    """The operational certificate and its issuer (DER, leaf first), and when to renew."""

    chain: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=4)]
    server_time: Unsigned
    renew_after_s: Unsigned


class ResetReport(Message, frozen=True, tag="admittance/reset/1"):
    """Signed by identity: the device was reset to factory state; `resets` is its new count of resets."""

    nonce: Bytes32
    device_id: Word
    epoch: Unsigned
    resets: Unsigned


class DeviceStatus(Message, frozen=True):
    """What the server tells an authenticated device about itself."""

    device_id: Word
    epoch: Unsigned
    server_time: Unsigned
    renew_after_s: Unsigned
