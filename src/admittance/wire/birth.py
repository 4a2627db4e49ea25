"""What the maker puts into a device: `birth.json`, beside the identity key unless a TPM holds that.

A device is made for one server. Its birth names that server's origin and the hash of its configuration root,
so no later message, phone or network can tell the device otherwise.
"""

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from admittance.errors import Malformed
from admittance.wire import base64url
from admittance.wire.device_id import check_device_id

EkKind = Literal["p256", "rsa", "p384"]
Presence = Literal["display", "button"]
Seal = Literal["hybrid", "classic", "symmetric"]

MAX_BYTES = 16384
KEY_BYTES = 32
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TpmAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the device reaches its TPM: a TCTI of the TPM2 Software Stack, such as ``device:/dev/tpmrm0``, or the
    folder with the state of a software TPM, relative to the birth's own. Exactly one is not empty."""

    tcti: str = ""
    swtpm_state: str = ""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen facts of one device.

    `configuration_root_sha256` is SHA-256 over the SPKI of the configuration root. `presence_key` exists
    exactly for devices that prove presence by a button, `seal_key` exactly for symmetric sealing; both are
    32 bytes. `identity_certificate` is the maker's certificate (DER), or None for a listed device. With `tpm` the
    identity key is in that TPM, and there is no file of it.
    """

    device_id: str
    model: str
    presence: Presence
    server_origin: str
    configuration_root_sha256: bytes
    access_point_ssid: str
    access_point_passphrase: str
    presence_key: bytes | None
    seal: Seal
    seal_key: bytes | None
    identity_certificate: bytes | None
    tpm: TpmAccess | None = None

    def __repr__(self) -> str:
        return f"Birth(device_id={self.device_id!r}, model={self.model!r})"


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    v: Literal[1]
    device_id: str
    model: str
    presence: Presence
    server_origin: str
    configuration_root_sha256: str
    access_point_ssid: str
    access_point_passphrase: str
    presence_key: str | None
    seal: Seal
    seal_key: str | None
    identity_certificate: str | None
    tpm: TpmAccess | None


def access_point_ssid(device_id: str) -> str:
    """Return the name of a device's access point: ``PROV_`` and six characters of its id."""
    return f"PROV_{device_id[2:8]}"


def encode_birth(birth: Birth) -> bytes:
    """Return the JSON document of `birth`. Raises `Malformed` when it breaks a rule of `decode_birth`."""
    _check(birth)
    document = _Document(
        v=1,
        device_id=birth.device_id,
        model=birth.model,
        presence=birth.presence,
        server_origin=birth.server_origin,
        configuration_root_sha256=base64url.encode(birth.configuration_root_sha256),
        access_point_ssid=birth.access_point_ssid,
        access_point_passphrase=birth.access_point_passphrase,
        presence_key=_encode_optional(birth.presence_key),
        seal=birth.seal,
        seal_key=_encode_optional(birth.seal_key),
        identity_certificate=_encode_optional(birth.identity_certificate),
        tpm=birth.tpm,
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode_birth(data: bytes) -> Birth:
    """Return the birth in `data`, a JSON document. Raises `Malformed` only."""
    if len(data) > MAX_BYTES:
        raise Malformed(f"A birth document has at most {MAX_BYTES} bytes.")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"This is not a birth document: {error}.") from None
    birth = Birth(
        device_id=document.device_id,
        model=document.model,
        presence=document.presence,
        server_origin=document.server_origin,
        configuration_root_sha256=base64url.decode(document.configuration_root_sha256),
        access_point_ssid=document.access_point_ssid,
        access_point_passphrase=document.access_point_passphrase,
        presence_key=_decode_optional(document.presence_key),
        seal=document.seal,
        seal_key=_decode_optional(document.seal_key),
        identity_certificate=_decode_optional(document.identity_certificate),
        tpm=document.tpm,
    )
    _check(birth)
    return birth


def check_origin(origin: str) -> str:
    """Return `origin`, which is ``https://host[:port]`` in lower case. Raises `Malformed` otherwise."""
    try:
        parts = urlsplit(origin)
        rebuilt = f"https://{parts.netloc}"
        valid = parts.hostname is not None and parts.port != 0 and parts.username is None
    except ValueError:
        raise Malformed("A server's origin looks like https://host or https://host:port.") from None
    if not valid or rebuilt != origin or not re.fullmatch(r"[a-z0-9.:\[\]-]+", parts.netloc):
        raise Malformed("A server's origin looks like https://host or https://host:port.")
    return origin


def check_model(model: str) -> str:
    """Return `model`: 1 to 64 letters, digits, dots, dashes, underscores. Raises `Malformed` otherwise."""
    if not _MODEL.fullmatch(model):
        raise Malformed("A model is named by 1 to 64 letters, digits, dots, dashes and underscores.")
    return model


def _check(birth: Birth) -> None:
    check_device_id(birth.device_id)
    check_model(birth.model)
    check_origin(birth.server_origin)
    if len(birth.configuration_root_sha256) != KEY_BYTES:
        raise Malformed("The hash of the configuration root has 32 bytes.")
    if birth.access_point_ssid != access_point_ssid(birth.device_id):
        raise Malformed("The access point's name does not belong to this device id.")
    passphrase = birth.access_point_passphrase
    if not (8 <= len(passphrase) <= 63 and passphrase.isascii() and passphrase.isprintable()):
        raise Malformed("The access point's passphrase has 8 to 63 printable ASCII characters.")
    _check_key("presence key", birth.presence_key, needed=birth.presence == "button")
    _check_key("seal key", birth.seal_key, needed=birth.seal == "symmetric")
    if birth.identity_certificate == b"":
        raise Malformed("The identity certificate is empty.")
    if birth.tpm is not None and bool(birth.tpm.tcti) == bool(birth.tpm.swtpm_state):
        raise Malformed("A device reaches its TPM either by a tcti or by a swtpm_state.")


def _check_key(name: str, key: bytes | None, *, needed: bool) -> None:
    if (key is not None) != needed:
        raise Malformed(f"The {name} is {'missing' if needed else 'not for this kind of device'}.")
    if key is not None and len(key) != KEY_BYTES:
        raise Malformed(f"The {name} has {KEY_BYTES} bytes.")


def _encode_optional(data: bytes | None) -> str | None:
    return None if data is None else base64url.encode(data)


def _decode_optional(text: str | None) -> bytes | None:
    return None if text is None else base64url.decode(text)
