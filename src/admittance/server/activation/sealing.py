"""Making the sealed configuration: what the server tells a device through the phone."""

from collections.abc import Callable
from dataclasses import dataclass

from admittance.errors import KeyRefused
from admittance.protocol.provisioning.network_secret import SALT_BYTES, encrypt_network
from admittance.protocol.sealing import recipient, seal, thumbprint
from admittance.protocol.signing import Signer
from admittance.server.activation.model import ServerNetwork
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.secrets import SecretBox
from admittance.wire.evidence import Evidence
from admittance.wire.sealed import Configuration, Header, Purpose

LIFETIME_S = 15 * 60
PERMITS = ["prov-config", "prov-ctrl"]


@dataclass(frozen=True)
class ServerAddresses:
    """Where a device finds this server. `anchors` are the only CA certificates (DER) that it will trust.

    `relay_urls` lead to the relay's device listener; `server_channel` is the SPKI of the server's channel key, and
    `token_keys` are those of the keys for offline tokens.
    """

    origin: str
    first_contact_url: str
    device_url: str
    anchors: tuple[bytes, ...]
    relay_urls: tuple[str, ...]
    server_channel: bytes
    token_keys: tuple[bytes, ...]


@dataclass(frozen=True)
class Grant:
    """What an activation gives. `ticket` has 32 bytes, or none where a live certificate makes it needless."""

    purpose: Purpose
    epoch: int
    sequence: int
    ticket: bytes


class ConfigurationSealer:
    """Seals to devices and signs with the configuration key, whose certificate and root are `chain` (DER)."""

    def __init__(
        self,
        *,
        addresses: ServerAddresses,
        signer: Signer,
        chain: tuple[bytes, ...],
        secrets: SecretBox,
        renew_after_s: int,
        random: Callable[[int], bytes],
    ) -> None:
        self._addresses = addresses
        self._signer = signer
        self._chain = chain
        self._thumbprint = thumbprint(chain[0])
        self._secrets = secrets
        self._renew_after_s = renew_after_s
        self._random = random

    def seal(
        self,
        record: DeviceRecord,
        evidence: Evidence,
        grant: Grant,
        transaction_id: bytes,
        network: ServerNetwork | None,
        now: float,
    ) -> bytes:
        """Raises `KeyRefused` if the device's seal key is none, or it should have a symmetric one and has not."""
        header = Header(
            purpose=grant.purpose,
            device_id=record.device_id,
            epoch=grant.epoch,
            signer_thumbprint=self._thumbprint,
            sequence=grant.sequence,
            lifetime_s=LIFETIME_S,
            device_nonce=evidence.device_nonce,
        )
        configuration = Configuration(
            server_origin=self._addresses.origin,
            first_contact_url=self._addresses.first_contact_url,
            device_url=self._addresses.device_url,
            anchors=list(self._addresses.anchors),
            server_time=int(now),
            ticket=grant.ticket,
            network=self._encrypted(network, record.device_id, transaction_id),
            permits=PERMITS,
            renew_after_s=self._renew_after_s,
            relay_urls=list(self._addresses.relay_urls),
            server_channel=self._addresses.server_channel,
            token_keys=list(self._addresses.token_keys),
        )
        keys = evidence.public_keys
        key = self._symmetric_key(record) if keys.seal_algorithm == "symmetric" else keys.seal
        to = recipient(keys.seal_algorithm, key)
        return seal(header, configuration, to, self._signer, self._chain, self._random)

    def _encrypted(self, network: ServerNetwork | None, device_id: str, transaction_id: bytes) -> bytes:
        if network is None:
            return b""
        salt = self._random(SALT_BYTES)
        return salt + encrypt_network(network.app_key, salt, device_id, transaction_id, 0, network.network)

    def _symmetric_key(self, record: DeviceRecord) -> bytes:
        if record.secrets is not None:
            key = self._secrets.open(record.device_id, record.secrets).seal_key
            if key is not None:
                return key
        raise KeyRefused("The registry holds no symmetric seal key of this device.")
