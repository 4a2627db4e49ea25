"""Values of the device registry."""

from dataclasses import dataclass
from typing import Literal

State = Literal["listed", "pending", "active", "released", "revoked"]
"""`listed`: nobody's yet. `pending`: activated, not enrolled. `released`: given away, free for the next claim."""

Assurance = Literal["self-asserted", "listed", "certified", "tpm"]

ASSURANCES: tuple[Assurance, ...] = ("self-asserted", "listed", "certified", "tpm")
"""Weakest first."""


def is_at_least(assurance: Assurance, minimum: Assurance) -> bool:
    return ASSURANCES.index(assurance) >= ASSURANCES.index(minimum)


@dataclass(frozen=True)
class DeviceRecord:
    """One row of the registry. Times are Unix seconds.

    `registry_key` is SHA-256 of the identity SPKI. `account_id` is the owner while pending or active.
    `pending_until` is when a pending activation lapses. `needs_ticket` is set by a reset: the identity key
    alone does not enrol again until the owner provisioned the device once more.
    """

    registry_key: bytes
    device_id: str
    identity_spki: bytes
    identity_certificate: bytes | None
    model: str
    presence: str
    assurance: Assurance
    secrets: bytes | None
    state: State
    account_id: str | None
    epoch: int
    last_sequence: int
    resets: int
    needs_ticket: bool
    pending_until: int | None
    activated_at: int | None
    last_seen_at: int | None

    def owner(self, now: float) -> str | None:
        """Whose device this is now; a pending activation that lapsed counts for nobody."""
        if self.state == "active":
            return self.account_id
        if self.state == "pending" and self.pending_until is not None and self.pending_until > now:
            return self.account_id
        return None


@dataclass(frozen=True)
class AccessPoint:
    """How a phone joins the device's own network."""

    ssid: str
    passphrase: str

    def __repr__(self) -> str:
        return f"AccessPoint(ssid={self.ssid!r}, passphrase=…)"


@dataclass(frozen=True)
class Setup:
    """What a person at the device needs, looked up by its setup code."""

    device_id: str
    model: str
    display_name: str
    presence: str
    access_point: AccessPoint
