"""The answer of `proto-ver`: JSON that says what a device speaks, read before any session."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from admittance.errors import Malformed
from admittance.wire import base64url

MAX_BYTES: Final = 1024
WINDOW_NONCE_BYTES: Final = 16


class Stock(Struct, frozen=True):
    """What Unified Provisioning defines: its version, the security scheme and its patch, capabilities."""

    ver: Annotated[str, Meta(max_length=32)]
    sec_ver: int = 1
    sec_patch_ver: int = 0
    cap: tuple[Annotated[str, Meta(max_length=32)], ...] = ()


class Admit(Struct, frozen=True, omit_defaults=True):
    """What our devices add: `presence`, and the window's nonce of one that opens by its button."""

    v: Literal[1]
    presence: Literal["display", "button"]
    window: str | UnsetType = UNSET

    @property
    def window_nonce(self) -> bytes | None:
        """The 16 bytes of the open window, or None. Raises `Malformed`."""
        return None if self.window is UNSET else base64url.decode(self.window, length=WINDOW_NONCE_BYTES)


class Version(Struct, frozen=True, omit_defaults=True):
    """The whole answer; `admit` is missing on devices that are not ours."""

    prov: Stock
    admit: Admit | UnsetType = UNSET


def encode(version: Version) -> bytes:
    return msgspec.json.encode(version)


def decode(data: bytes) -> Version:
    """Read the answer; keys that we do not know are passed over, since other devices add their own.

    Raises `Malformed`, also for a `window` that is not 16 bytes.
    """
    if len(data) > MAX_BYTES:
        raise Malformed(f"proto-ver answered {len(data)} bytes where {MAX_BYTES} are allowed.")
    try:
        version = msgspec.json.decode(data, type=Version)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("proto-ver did not answer with the JSON of Unified Provisioning.") from None
    if version.admit is not UNSET:
        _ = version.admit.window_nonce
    return version
