"""The manifest that a maker hands to a server: JSON Lines, one device a line.

::

    {"v":1, "device_id":"AD…", "model":"lamp", "presence":"display"|"button",
     "identity_spki":b64, "identity_certificate":b64|null, "secrets":b64, "ek_certificate":b64}

Only devices with a TPM have an `ek_certificate`: that of its endorsement key.

`secrets` is HPKE base mode (RFC 9180; DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) to the
server's manifest key, `enc || ciphertext`, with `secrets_info(device_id)` as info and the CBOR map of
`DeviceSecrets` as plaintext.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from admittance.errors import Malformed
from admittance.wire import base64url, cbor
from admittance.wire.device_id import device_id as id_of_identity

MAX_LINE_BYTES = 16384

Presence = Literal["display", "button"]

_SECRET_NAMES = frozenset({"access_point_ssid", "access_point_passphrase", "presence_key", "seal_key"})


@dataclass(frozen=True)
class ManifestEntry:
    """One device as its maker describes it.

    `identity_spki`, `identity_certificate` and `ek_certificate` are DER; `secrets` is the HPKE message for the
    server.
    """

    device_id: str
    model: str
    presence: Presence
    identity_spki: bytes
    identity_certificate: bytes | None
    secrets: bytes
    ek_certificate: bytes | None = None


@dataclass(frozen=True)
class DeviceSecrets:
    """What only the device and its server know.

    `access_point_passphrase` has 8 to 63 characters (WPA2); `presence_key` and `seal_key` have 32 bytes
    and are None on devices that do not use them.
    """

    access_point_ssid: str
    access_point_passphrase: str
    presence_key: bytes | None
    seal_key: bytes | None

    def __repr__(self) -> str:
        return "DeviceSecrets(…)"


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    v: Literal[1]
    device_id: str
    model: str
    presence: Presence
    identity_spki: str
    identity_certificate: str | None
    secrets: str
    ek_certificate: str | None = None


_decoder = msgspec.json.Decoder(_Line)


def secrets_info(device_id: str) -> bytes:
    """HPKE info of the secrets of one device: they open for no other."""
    return b"admittance/manifest/1|" + device_id.encode("ascii")


def encode_line(entry: ManifestEntry) -> bytes:
    """One line of a manifest, with its newline."""
    certificate = entry.identity_certificate
    line = _Line(
        v=1,
        device_id=entry.device_id,
        model=entry.model,
        presence=entry.presence,
        identity_spki=base64url.encode(entry.identity_spki),
        identity_certificate=None if certificate is None else base64url.encode(certificate),
        secrets=base64url.encode(entry.secrets),
        ek_certificate=None if entry.ek_certificate is None else base64url.encode(entry.ek_certificate),
    )
    return msgspec.json.encode(line) + b"\n"


def decode_line(data: bytes) -> ManifestEntry:
    """The device that one line describes. The device id must be the one of the identity.

    Raises `Malformed` with a cause that an operator can act upon.
    """
    if len(data) > MAX_LINE_BYTES:
        raise Malformed(f"The line is longer than {MAX_LINE_BYTES} bytes.")
    try:
        line = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The line is not a device of manifest version 1: {error}.") from error
    if not 1 <= len(line.model) <= 64:
        raise Malformed("The model's name has 1 to 64 characters.")
    spki = base64url.decode(line.identity_spki)
    if id_of_identity(spki) != line.device_id:
        raise Malformed("The device id is not the one of identity_spki.")
    certificate = line.identity_certificate
    return ManifestEntry(
        device_id=line.device_id,
        model=line.model,
        presence=line.presence,
        identity_spki=spki,
        identity_certificate=None if certificate is None else base64url.decode(certificate),
        secrets=base64url.decode(line.secrets),
        ek_certificate=None if line.ek_certificate is None else base64url.decode(line.ek_certificate),
    )


def encode_secrets(secrets: DeviceSecrets) -> bytes:
    """The plaintext of `ManifestEntry.secrets`: a CBOR map; keys that a device lacks are left out."""
    values = {
        "access_point_ssid": secrets.access_point_ssid,
        "access_point_passphrase": secrets.access_point_passphrase,
        "presence_key": secrets.presence_key,
        "seal_key": secrets.seal_key,
    }
    return cbor.encode({name: value for name, value in values.items() if value is not None})


def decode_secrets(data: bytes) -> DeviceSecrets:
    """Raises `Malformed`."""
    values = cbor.decode(data)
    if not isinstance(values, dict) or not values.keys() <= _SECRET_NAMES:
        raise Malformed("The device's secrets are not a map of known names.")
    ssid, passphrase = values.get("access_point_ssid"), values.get("access_point_passphrase")
    if not isinstance(ssid, str) or not 1 <= len(ssid.encode()) <= 32:
        raise Malformed("The access point's name has 1 to 32 bytes.")
    if not isinstance(passphrase, str) or not 8 <= len(passphrase) <= 63:
        raise Malformed("The access point's passphrase has 8 to 63 characters.")
    return DeviceSecrets(
        access_point_ssid=ssid,
        access_point_passphrase=passphrase,
        presence_key=_key(values.get("presence_key")),
        seal_key=_key(values.get("seal_key")),
    )


def _key(value: object) -> bytes | None:
    if value is None or (isinstance(value, bytes) and len(value) == 32):
        return value
    raise Malformed("A device's key has 32 bytes.")
