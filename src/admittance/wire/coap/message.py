"""A CoAP message without the fields of a transport: what OSCORE protects and what streams carry (RFC 8323)."""

from typing import Final, Self

import msgspec
from msgspec.structs import replace

from admittance.wire.coap import codes
from admittance.wire.coap.options import URI_PATH, Options, path_of

MAX_TOKEN_BYTES: Final = 8
MAX_MESSAGE_BYTES: Final = 65536


class CoapMessage(msgspec.Struct, frozen=True, gc=False):
    """A request or a response.

    `token` has up to 8 bytes, `options` are (number, value) with ascending numbers. The constructor checks nothing;
    encoding does.
    """

    code: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""

    def option(self, number: int) -> bytes | None:
        """The first value of an option, if it is there."""
        for known, value in self.options:
            if known == number:
                return value
        return None

    def all_options(self, number: int) -> tuple[bytes, ...]:
        """Every value of an option that may be repeated."""
        return tuple(value for known, value in self.options if known == number)

    @property
    def path(self) -> str:
        """Uri-Path as ``/a/b``. Raises `Malformed` for segments that are empty, dots, not UTF-8 or hold a slash."""
        return path_of(self.all_options(URI_PATH))

    def with_options(self, *options: tuple[int, bytes]) -> Self:
        """The same message with these options added, behind those of the same number."""
        return replace(self, options=tuple(sorted(self.options + options, key=_number)))

    def without(self, *numbers: int) -> Self:
        """The same message without any option of these numbers."""
        return replace(self, options=tuple(option for option in self.options if option[0] not in numbers))

    def __str__(self) -> str:
        """Code, token and sizes: what may stand in a log."""
        names = " ".join(str(number) for number, _ in self.options)
        return f"{codes.text(self.code)} token={self.token.hex()} options=[{names}] payload={len(self.payload)} B"


def _number(option: tuple[int, bytes]) -> int:
    return option[0]
