"""Offline tokens as a server issues them."""

import os
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.protocol.access.authz_info import PossessionKey
from admittance.protocol.access.epoch_list import sign_epoch_list
from admittance.protocol.access.offline_token import OfflineGrant, issue
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.channel import GET, Permission
from admittance.wire.cwt import OfflineStanding
from admittance.wire.offline import EpochList


@dataclass
class Issuer:
    """A server with a device token key, for one device; `sequence` is that of the latest token."""

    origin: str
    device_id: str
    access_spki: bytes
    epoch: int
    scope: tuple[Permission, ...] = (Permission("/measurements", GET),)
    signer: SoftwareSigner = field(default_factory=lambda: SoftwareSigner(ec.generate_private_key(ec.SECP256R1())))
    sequence: int = 0

    def token(self, now: float | None = None, **changes: Any) -> PossessionKey:
        """The next token with its key, good for an hour from `now`; `changes` go into what it says."""
        signer = changes.pop("signer", self.signer)
        access_spki = changes.pop("access_spki", self.access_spki)
        self.sequence += 1
        issued_at = int(time.time() if now is None else now)
        values: dict[str, Any] = {
            "issuer": self.origin,
            "audience": f"{self.origin}/d/{self.device_id}",
            "token": os.urandom(16),
            "name": "guest",
            "standing": OfflineStanding(self.epoch, self.sequence, os.urandom(16)),
            "scope": self.scope,
            "issued_at": issued_at,
            "not_before": issued_at,
            "expires_at": issued_at + 3600,
        }
        secret = os.urandom(32)
        data = issue(
            OfflineGrant(**values | changes),
            secret,
            signer,
            access_spki,
            ephemeral=ec.generate_private_key(ec.SECP256R1()),
            nonce=os.urandom(12),
        )
        return PossessionKey(data, secret)

    def epoch_list(self, lowest_sequence: int, now: float | None = None, epoch: int | None = None) -> bytes:
        """A signed list that ends every token below `lowest_sequence`."""
        issued_at = int(time.time() if now is None else now)
        told = EpochList(self.device_id, self.epoch if epoch is None else epoch, lowest_sequence, issued_at)
        return sign_epoch_list(told, self.signer)
