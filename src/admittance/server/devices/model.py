"""Values of the device registry."""

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["listed", "pending", "active", "released", "revoked", "decommissioned"]
"""`listed`: nobody's yet. `pending`: activated, not enrolled. `released`: given away, free for the next claim.
`revoked` and `decommissioned` have no way back; a decommissioned device is nobody's."""

ENDED: tuple[State, ...] = ("revoked", "decommissioned")

Reported = Literal["lost", "stolen"]
"""What an owner said of a device. Either way the owner hears when it appears, and it makes no enrolment codes;
`stolen` also ends its access."""

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
    alone does not enrol again until the owner provisioned the device once more. `assigned_account_id` is the only
    account that may claim it. At `release_at` the operator's release becomes effective. `channel_spki` is the public
    channel key (P-256, DER) that the device's last evidence told, for its owner only; `access_spki` that to which the
    keys in offline tokens are encrypted.
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
    reported: Reported | None = None
    assigned_account_id: str | None = None
    release_at: int | None = None
    channel_spki: bytes | None = None
    access_spki: bytes | None = None

    def owner(self, now: float) -> str | None:
        """Whose device this is now; a pending activation that lapsed counts for nobody."""
        if self.state == "active":
            return self.account_id
        if self.state == "pending" and self.pending_until is not None and self.pending_until > now:
            return self.account_id
        return None

    def vouches(self, account_id: str, epoch: int) -> bool:
        """Whether it may let others in: enrolled for that account in that epoch, and in the owner's hands."""
        is_current = (self.account_id, self.epoch) == (account_id, epoch)
        return is_current and self.state == "active" and not self.needs_ticket and self.reported is None

    def without_owner(self, state: State) -> "DeviceRecord":
        """The device as nobody's: what its owner, or an operator for that owner, said of it is gone."""
        return replace(
            self,
            state=state,
            account_id=None,
            pending_until=None,
            activated_at=None,
            needs_ticket=True,
            reported=None,
            assigned_account_id=None,
            release_at=None,
            channel_spki=None,
            access_spki=None,
        )

    def barred(self, account_id: str) -> str:
        """Why that account can't have this device even if nobody owns it, in one word; empty if it can."""
        if self.state in ENDED:
            return self.state
        if self.reported == "stolen":
            return "stolen"
        return "assigned" if self.assigned_account_id not in (None, account_id) else ""


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
