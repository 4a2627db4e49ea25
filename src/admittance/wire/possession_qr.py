"""The possession code as a QR's text: the JSON of the stock apps, or an URL that carries it in its fragment.

A fragment never reaches a server, so ``https://<server>/p#<base64url of the JSON>`` may be opened by any camera app.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from admittance.errors import Malformed
from admittance.wire import base64url
from admittance.wire.birth import check_origin

MAX_CHARACTERS: Final = 1024
_PATH: Final = "/p#"

Short = Annotated[str, Meta(min_length=1, max_length=64)]
Passphrase = Annotated[str, Meta(min_length=8, max_length=63)]


class _Payload(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    ver: Literal["v1"]
    name: Annotated[str, Meta(min_length=1, max_length=32)]
    username: Short
    pop: Short
    transport: Literal["softap", "ble"]
    security: Literal["2"]
    password: Passphrase | UnsetType = UNSET
    network: Literal["wifi"] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PossessionQr:
    """How to reach a device and prove to stand before it.

    `name` is the SSID of its access point (or its BLE name) and `password` the passphrase of the access point, empty
    if it has none. `username` and `pop` are the possession code. `origin` is the server's, None in the stock form.
    """

    name: str
    username: str
    pop: str = field(repr=False)
    password: str = field(repr=False)
    transport: Literal["softap", "ble"] = "softap"
    origin: str | None = None


def encode(qr: PossessionQr) -> str:
    """The text of the QR: stock JSON without `origin`, else the URL. Raises `Malformed` for values out of bounds."""
    payload = _Payload(
        ver="v1",
        name=qr.name,
        username=qr.username,
        pop=qr.pop,
        transport=qr.transport,
        security="2",
        password=qr.password or UNSET,
        network="wifi",
    )
    data = msgspec.json.encode(payload)
    text = data.decode() if qr.origin is None else check_origin(qr.origin) + _PATH + base64url.encode(data)
    if decode(text) != qr:
        raise Malformed("This possession code does not fit a QR.")
    return text


def decode(text: str) -> PossessionQr:
    """The possession code behind a scanned text. Raises `Malformed`; what it says never holds the code."""
    if len(text) > MAX_CHARACTERS:
        raise Malformed(f"A possession code has at most {MAX_CHARACTERS} characters.")
    origin: str | None = None
    data = text.encode(errors="replace")
    if not text.startswith("{"):
        prefix, separator, fragment = text.partition(_PATH)
        if not separator:
            raise Malformed("This text is no possession code: scan the QR code that the device shows.")
        origin = check_origin(prefix)
        data = base64url.decode(fragment)
    try:
        payload = msgspec.json.decode(data, type=_Payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("This possession code cannot be read. Scan the code that is shown now.") from None
    return PossessionQr(
        name=payload.name,
        username=payload.username,
        pop=payload.pop,
        password="" if payload.password is UNSET else payload.password,
        transport=payload.transport,
        origin=origin,
    )
