"""What making put into a device, kept under the key-encryption key, and its stand-ins for unknown devices."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from admittance.errors import Malformed
from admittance.server.keys.envelope import Envelope
from admittance.wire import crockford
from admittance.wire.birth import access_point_ssid
from admittance.wire.manifest import (
    DeviceSecrets,
    ManifestEntry,
    decode_secrets,
    encode_secrets,
    secrets_info,
)

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_PASSPHRASE_BYTES = 10


class SecretBox:
    """Device secrets at rest: each opens only for its own device."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    def seal(self, device_id: str, secrets: DeviceSecrets) -> bytes:
        return self._envelope.seal(encode_secrets(secrets), _context(device_id))

    def open(self, device_id: str, record: bytes) -> DeviceSecrets:
        """Raises `ConfigurationError` if the record was changed or moved."""
        return decode_secrets(self._envelope.open(record, _context(device_id)))


class Dummies:
    """Stable secrets for device ids that nobody made.

    Derived by HMAC from `key`, they have the form of real ones and are the same at every question and on
    every node, so that an answer does not tell whether a device exists.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def secrets(self, device_id: str) -> DeviceSecrets:
        return DeviceSecrets(
            access_point_ssid=access_point_ssid(device_id),
            access_point_passphrase=crockford.encode(self._derive(b"passphrase", device_id)[:_PASSPHRASE_BYTES]),
            presence_key=self._derive(b"presence", device_id),
            seal_key=None,
        )

    def choice(self, device_id: str, count: int) -> int:
        """A stable number below `count`."""
        return int.from_bytes(self._derive(b"model", device_id)[:8], "big") % count

    def _derive(self, label: bytes, device_id: str) -> bytes:
        return hmac.digest(self._key, b"admittance/dummy/1|" + label + b"|" + device_id.encode(), "sha256")


def open_manifest_secrets(entry: ManifestEntry, manifest_key: X25519PrivateKey) -> DeviceSecrets:
    """The secrets that a maker encrypted to this server. Raises `Malformed`."""
    try:
        plaintext = _SUITE.decrypt(entry.secrets, manifest_key, secrets_info(entry.device_id))
    except (InvalidTag, ValueError) as error:
        raise Malformed("The secrets do not open: they were encrypted to another server or device.") from error
    return decode_secrets(plaintext)


def _context(device_id: str) -> bytes:
    return b"device-secrets|" + device_id.encode("ascii")
