"""The sealed configuration: what the server tells a device through a phone that can neither read nor change it."""

from typing import Annotated, Literal

import msgspec

from admittance.errors import Malformed
from admittance.wire.evidence import SealAlgorithm
from admittance.wire.message import Bytes16, Bytes32, Message, Text, Unsigned, Word

TICKET_BYTES = 32
NETWORK_SALT_BYTES = 32
CHANNEL_SPKI_BYTES = TOKEN_SPKI_BYTES = 91
"""SubjectPublicKeyInfo of a P-256 key, its point uncompressed (RFC 5480)."""
MAX_TOKEN_KEYS = 2

Purpose = Literal["activate", "reprovision"]


class Header(Message, frozen=True, tag="admittance/sealed/1"):
    """In the clear and authenticated: who may open this, once, and when.

    `signer_thumbprint` is SHA-256 of the configuration key's certificate (DER); `lifetime_s` runs on the device's
    monotonic clock from the moment it drew `device_nonce`.
    """

    purpose: Purpose
    device_id: Word
    epoch: Unsigned
    signer_thumbprint: Bytes32
    sequence: Unsigned
    lifetime_s: Unsigned
    device_nonce: Bytes16


class Configuration(Message, frozen=True, tag="admittance/configuration/1"):
    """The plaintext. `anchors` are the only CA certificates (DER) that the device trusts for `server_origin`.

    `ticket` is 32 bytes, or empty if the device has nothing to enrol. `network` is empty when the app manages the
    premises network, else 32 bytes of salt and the network encrypted under the app key (try 0). `permits` names the
    stock endpoints that an owned device opens for this transaction. The device keeps a connection to one of
    `relay_urls` (``wss://`` or ``ws://``), where `server_channel` (SPKI) is the server's own channel credential; both
    are empty where the server has no relay. `token_keys` (SPKI) sign offline tokens and epoch lists: the present one,
    and perhaps the next.
    """

    server_origin: Text
    first_contact_url: Text
    device_url: Text
    anchors: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=4)]
    server_time: Unsigned
    ticket: Annotated[bytes, msgspec.Meta(max_length=32)]
    network: Annotated[bytes, msgspec.Meta(max_length=512)]
    permits: Annotated[list[Word], msgspec.Meta(max_length=8)]
    renew_after_s: Unsigned
    relay_urls: Annotated[list[Text], msgspec.Meta(max_length=4)]
    server_channel: Annotated[bytes, msgspec.Meta(max_length=CHANNEL_SPKI_BYTES)]
    token_keys: Annotated[list[bytes], msgspec.Meta(max_length=MAX_TOKEN_KEYS)]

    def __post_init__(self) -> None:
        if len(self.ticket) not in (0, TICKET_BYTES):
            raise Malformed("Configuration with a ticket of the wrong size")
        if 0 < len(self.network) <= NETWORK_SALT_BYTES:
            raise Malformed("Configuration with a network that has no ciphertext")
        if len(self.server_channel) not in (0, CHANNEL_SPKI_BYTES):
            raise Malformed("Configuration with a channel key of the wrong size")
        if any(len(key) != TOKEN_SPKI_BYTES for key in self.token_keys):
            raise Malformed("Configuration with a token key of the wrong size")

    def __repr__(self) -> str:
        return f"Configuration(server_origin={self.server_origin!r}, …)"


class Envelope(Message, frozen=True):
    """What the configuration key signs: the header's exact bytes, how the rest is sealed, and the ciphertext.

    `ciphertext` is HPKE's ``enc`` followed by its ciphertext, or a COSE_Encrypt0 for `symmetric`.
    """

    header: Annotated[bytes, msgspec.Meta(max_length=512)]
    seal_algorithm: SealAlgorithm
    ciphertext: Annotated[bytes, msgspec.Meta(max_length=8192)]
