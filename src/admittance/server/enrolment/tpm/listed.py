"""Endorsement keys that a maker's manifest names: the device's first enrolment by TPM must come with that one."""

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed
from admittance.server.enrolment.tpm import store
from admittance.wire.device_id import registry_key as sha256
from admittance.wire.manifest import ManifestEntry


class ListedKeys:
    """The endorsement keys of a batch of lines, checked against each other and against those bound already."""

    def __init__(self, bound: Iterable[tuple[bytes, bytes]]) -> None:
        self._key_of: dict[bytes, bytes] = {}
        self._device_of: dict[bytes, bytes] = {}
        for device, key in bound:
            self._bind(device, key)
        self._new: list[tuple[bytes, bytes, bytes]] = []

    @classmethod
    async def read(cls, connection: AsyncConnection, entries: Iterable[ManifestEntry]) -> "ListedKeys":
        """What is bound of these lines' devices and keys."""
        devices, keys = [], []
        for entry in entries:
            if entry.ek_certificate is not None:
                devices.append(sha256(entry.identity_spki))
                keys += _digests(entry.ek_certificate)
        return cls(await store.bound_endorsements(connection, devices, keys) if devices else [])

    def take(self, entry: ManifestEntry) -> None:
        """Note the line's endorsement key, if it has one.

        Raises `Malformed` if its certificate does not decode, and `Conflict` if the device has another key, or the
        key is another device's.
        """
        if entry.ek_certificate is None:
            return
        device = sha256(entry.identity_spki)
        digests = _digests(entry.ek_certificate)
        if not digests:
            raise Malformed("The ek_certificate does not decode.")
        key = digests[0]
        if self._key_of.get(device, key) != key:
            raise Conflict("The device has another endorsement key already.")
        if self._device_of.get(key, device) != device:
            raise Conflict("The endorsement key is another device's already.")
        if device not in self._key_of:
            self._bind(device, key)
            self._new.append((device, key, entry.ek_certificate))

    async def store(self, connection: AsyncConnection) -> None:
        """Write what is new; the devices' rows are there."""
        for device, key, certificate in self._new:
            await store.list_endorsement(connection, device, key, certificate)

    def _bind(self, device: bytes, key: bytes) -> None:
        self._key_of[device] = key
        self._device_of[key] = device


def _digests(certificate: bytes) -> list[bytes]:
    """SHA-256 of the certificate's SubjectPublicKeyInfo; none if it does not decode."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return [sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))]
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
        return []
