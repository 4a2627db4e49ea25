"""Possession keys: the secret that a token is bound to, and the OSCORE context that its two holders make of it.

The client and the authorization server each give a share of the secret (see `docs/protocol/possession.md`); the
context follows from it by the OSCORE profile of ACE (RFC 9203, section 4.3).
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import Malformed, Misuse
from admittance.protocol.channel.channel_keys import ChannelKeys
from admittance.wire import cbor
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer

SHARE_BYTES: Final = 32
SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 8
"""What RFC 9203 recommends (sections 4.1 and 4.2)."""

_LABEL: Final = "admittance/possession-key/1"


def master_secret(server_share: bytes, *, client_share: bytes, device_id: str, client: str, grant: bytes) -> bytes:
    """The master secret (32 bytes) of a possession key for `client` on a device under a grant.

    `client_share` is empty where the client left it out. Raises `Misuse` for a share that has not 32 bytes.
    """
    if len(server_share) != SHARE_BYTES or len(client_share) not in (0, SHARE_BYTES):
        raise Misuse("a share of a possession key has 32 bytes")
    info = cbor.encode([_LABEL, device_id, client, grant])
    return HKDF(SHA256(), SECRET_BYTES, None, info).derive(client_share + server_share)


def client_keys(
    master_secret: bytes, asked: AuthzInfo, answer: AuthzInfoAnswer, *, input_salt: bytes = b""
) -> ChannelKeys:
    """The client's keys of the context: it sends under the server's id (RFC 9203, section 4.3).

    Raises `Malformed` where both have one id, or the client none.
    """
    if asked.client_id is None or asked.client_id == answer.server_id:
        raise Malformed("an authz-info exchange in which both ends have one id")
    salt = master_salt(asked.nonce1, answer.nonce2, input_salt=input_salt)
    return ChannelKeys(master_secret, salt, sender_id=answer.server_id, recipient_id=asked.client_id)


def server_keys(
    master_secret: bytes, asked: AuthzInfo, answer: AuthzInfoAnswer, *, input_salt: bytes = b""
) -> ChannelKeys:
    """The resource server's: those of the client, with the ids exchanged. Raises as `client_keys`."""
    keys = client_keys(master_secret, asked, answer, input_salt=input_salt)
    return ChannelKeys(keys.master_secret, keys.master_salt, keys.recipient_id, keys.sender_id)


def master_salt(nonce1: bytes, nonce2: bytes, *, input_salt: bytes = b"") -> bytes:
    """The master salt of the context: the three as CBOR byte strings, one after the other (RFC 9203, section 4.3)."""
    return cbor.encode(input_salt) + cbor.encode(nonce1) + cbor.encode(nonce2)
