"""Evidence: what a device signs, inside a proven session, to be activated."""

from typing import Annotated, Literal

import msgspec

from admittance.wire.message import Bytes16, Bytes32, Message, Text, Unsigned, Word

SealAlgorithm = Literal["hybrid", "classic", "symmetric"]
PresenceMethod = Literal["display", "button", "resume"]


class PublicKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public parts of the keys that a device made for itself; identity certifies them by signing the evidence.

    `seal` is the HPKE recipient key in the KEM's own encoding (empty for `symmetric`); `channel` and `access` are
    SubjectPublicKeyInfo (DER), P-256.
    """

    seal_algorithm: SealAlgorithm
    seal: Annotated[bytes, msgspec.Meta(max_length=1600)]
    channel: Annotated[bytes, msgspec.Meta(max_length=200)]
    access: Annotated[bytes, msgspec.Meta(max_length=200)]


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the firmware says of itself. `resets` counts factory resets and survives them."""

    model: Word
    firmware: Word
    resets: Unsigned


class Evidence(Message, frozen=True, tag="admittance/evidence/1"):
    """The signed statement of a device (see `docs/protocol/provisioning.md`).

    `challenge` is the server's, `binding` the SRP session's, `device_nonce` the open transaction's. `code_age_s` is
    how long ago the proven code left the display. `last_sequence` is the highest sequence number that the device
    accepted in a sealed configuration.
    """

    server_origin: Text
    challenge: Bytes32
    device_id: Word
    binding: Bytes32
    presence: PresenceMethod
    code_age_s: Unsigned
    device_nonce: Bytes16
    last_sequence: Unsigned
    epoch: Unsigned
    public_keys: PublicKeys
    claims: Claims
