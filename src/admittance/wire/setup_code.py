"""The setup code: the public label of a device, as URL and as NFC record.

The URL ``https://<server>/d/<device id>`` gives nobody anything: it names the device. On an NFC tag it is one
NDEF message with one short URI record (NFC Forum NDEF 1.0, URI RTD 1.0).
"""

from dataclasses import dataclass

from admittance.errors import Malformed
from admittance.wire.birth import check_origin
from admittance.wire.device_id import check_device_id

MAX_CHARACTERS = 255

# NDEF 1.0, section 3.2: message begin, message end, short record, type name format 1 (well-known type).
_HEADER = 0b1101_0001
_TYPE = b"U"
# URI RTD 1.0, table 3: identifier code of the prefix "https://".
_HTTPS = 0x04
_PREFIX = "https://"


@dataclass(frozen=True)
class SetupCode:
    """Which device, at which server: `origin` is ``https://host[:port]``."""

    origin: str
    device_id: str

    @property
    def url(self) -> str:
        return f"{self.origin}/d/{self.device_id}"


def parse_url(text: str) -> SetupCode:
    """Return the setup code of a label's URL. Raises `Malformed` for every other text."""
    if len(text) > MAX_CHARACTERS:
        raise Malformed(f"A setup code has at most {MAX_CHARACTERS} characters.")
    origin, separator, device_id = text.rpartition("/d/")
    if not separator:
        raise Malformed("A setup code looks like https://<server>/d/<device id>.")
    code = SetupCode(check_origin(origin), device_id)
    check_device_id(device_id)
    return code


def encode_ndef(code: SetupCode) -> bytes:
    """Return the NDEF message for a tag. Raises `Malformed` when the URL does not fit a short record."""
    payload = bytes([_HTTPS]) + code.url.removeprefix(_PREFIX).encode("ascii")
    if len(payload) > 255:
        raise Malformed("This setup code does not fit a short NDEF record.")
    return bytes([_HEADER, len(_TYPE), len(payload)]) + _TYPE + payload


def decode_ndef(data: bytes) -> SetupCode:
    """Return the setup code of an NDEF message as `encode_ndef` makes it. Raises `Malformed` only."""
    if len(data) < 5 or data[0] != _HEADER or data[1] != len(_TYPE) or data[3:4] != _TYPE:
        raise Malformed("This NDEF message is not one short URI record.")
    payload = data[4:]
    if len(payload) != data[2]:
        raise Malformed("The length of this NDEF record does not fit its message.")
    if payload[0] != _HTTPS:
        raise Malformed("This URI record does not hold an https URL.")
    try:
        return parse_url(_PREFIX + payload[1:].decode("ascii"))
    except UnicodeDecodeError:
        raise Malformed("This URI record does not hold an ASCII URL.") from None
