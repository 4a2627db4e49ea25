"""What a device answers and takes: bytes in a content format."""

import json
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from admittance.errors import Malformed
from admittance.wire import base64url
from admittance.wire.coap import codes, formats, options
from admittance.wire.coap.message import CoapMessage

# The +cbor and +json formats that stand beside the plain ones (IANA's CoAP Content-Formats).
_CBOR: Final = frozenset({formats.CBOR, formats.SENML_CBOR})
_SENML_JSON: Final = 110
_JSON: Final = frozenset({formats.JSON, _SENML_JSON})
_TEXT: Final = frozenset({formats.TEXT, formats.LINK})


@dataclass(frozen=True, slots=True)
class Content:
    """`content_format` is a number of IANA's registry, None where none was named; `code` that of an answer."""

    payload: bytes = b""
    content_format: int | None = None
    code: int = codes.CONTENT

    @classmethod
    def of_cbor(cls, value: object) -> "Content":
        """Raises `Malformed` for a value that CBOR has no form for."""
        try:
            return cls(cbor2.dumps(value), formats.CBOR)
        except (cbor2.CBOREncodeError, OverflowError, RecursionError) as error:
            raise Malformed(f"This value has no form in CBOR: {error}.") from error

    @classmethod
    def of_json(cls, value: object) -> "Content":
        """Raises `Malformed` for a value that JSON has no form for."""
        try:
            return cls(json.dumps(value, allow_nan=False).encode(), formats.JSON)
        except (TypeError, ValueError, RecursionError) as error:
            raise Malformed(f"This value has no form in JSON: {error}.") from error

    @classmethod
    def of_text(cls, text: str) -> "Content":
        return cls(text.encode(), formats.TEXT)

    @classmethod
    def of_message(cls, message: CoapMessage) -> "Content":
        """The content of an answer. Raises `Malformed`."""
        number = message.option(options.CONTENT_FORMAT)
        return cls(message.payload, None if number is None else options.decode_uint(number, 2), message.code)

    def text(self) -> str:
        """The payload as UTF-8. Raises `Malformed`."""
        try:
            return self.payload.decode()
        except UnicodeDecodeError as error:
            raise Malformed("The device's answer is no text.") from error

    def cbor(self) -> Any:
        """The payload as one CBOR value. Raises `Malformed`."""
        try:
            return cbor2.loads(self.payload)
        except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as error:
            raise Malformed("The device's answer is no CBOR.") from error

    def json(self) -> Any:
        """The payload as one JSON value. Raises `Malformed`."""
        try:
            return json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise Malformed("The device's answer is no JSON.") from error

    def plain(self) -> Any:
        """The content as a value that JSON has a form for, by its format; bytes as base64url.

        Raises `Malformed` if the payload is not of its format.
        """
        if self.content_format in _CBOR:
            return _plain(self.cbor())
        if self.content_format in _JSON:
            return self.json()
        if self.content_format in _TEXT or not self.payload:
            return self.text()
        return base64url.encode(self.payload)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return base64url.encode(value)
        case dict():
            return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
    return str(value)
