"""What a device is told of the access that its owner granted: possession keys, pushed by the server on stream 0.

The device keeps a sequence of its own: each push makes it grow, and names the one that it builds on.
"""

from hashlib import sha256
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from admittance.wire.channel import MAX_PERMISSIONS, Entry, Permission, Role
from admittance.wire.message import Bytes16, Bytes32, Message, Unsigned, Word

PUSH_PATH: Final = "/server/access"
AUTHZ_INFO_PATH: Final = "/authz-info"

MAX_KEYS: Final = 32
MAX_ENDED: Final = 64
MAX_COUNTS: Final = 64
MAX_PUSH_BYTES: Final = 65_536


class GrantedKey(Message, frozen=True):
    """A possession key and what it is good for.

    `token` names it: the access token by reference, and the id of its OSCORE_Input_Material (RFC 9203).
    `name` is the client's, for people. It is good from `not_before` until before `expires_at` (Unix times).
    `uses` is how often the grant, with all its keys, allows an actuation; 0 where that is not counted.
    """

    token: Bytes16
    master_secret: Bytes32
    grant: Bytes16
    name: Word
    scope: Annotated[tuple[Permission, ...], Meta(min_length=1, max_length=MAX_PERMISSIONS)]
    not_before: Unsigned
    expires_at: Unsigned
    uses: Unsigned

    def is_of(self, token: bytes) -> bool:
        """Whether `token` is the one that the key came with."""
        return token == self.token

    @property
    def kid(self) -> bytes:
        """The id of the key: its token (RFC 9203, section 3.2)."""
        return self.token

    @property
    def role(self) -> Role:
        """Who holds a possession key is a guest."""
        return "guest"

    def __repr__(self) -> str:
        return f"GrantedKey(token={self.token.hex()!r}, name={self.name!r}, …)"


class OfflineKey(GrantedKey, frozen=True):
    """A possession key that came in an offline token, whose bytes have the hash `token_sha256`."""

    token_sha256: Bytes32

    def is_of(self, token: bytes) -> bool:
        return sha256(token).digest() == self.token_sha256


Holder: TypeAlias = Entry | GrantedKey
"""Who is at the other end of a channel to a device: the holder of a listed credential, or of a possession key."""


class AccessPush(Message, frozen=True, tag="admittance/access-push/1"):
    """The change from `base` to `sequence`: `keys` are new, and what `ended` names (tokens or grants) is over.

    A `base` of 0 replaces everything that the device has.
    """

    epoch: Unsigned
    base: Unsigned
    sequence: Unsigned
    keys: Annotated[tuple[GrantedKey, ...], Meta(max_length=MAX_KEYS)]
    ended: Annotated[tuple[Bytes16, ...], Meta(max_length=MAX_ENDED)]


class GrantUse(Message, frozen=True):
    """How often a grant was used."""

    grant: Bytes16
    used: Unsigned


class AccessState(Message, frozen=True, tag="admittance/access-state/1"):
    """What a device has: its answer to a push, and to who asks."""

    epoch: Unsigned
    sequence: Unsigned
    used: Annotated[tuple[GrantUse, ...], Meta(max_length=MAX_COUNTS)]
