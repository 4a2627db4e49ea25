"""Values of second factors."""

from dataclasses import dataclass, field

from admittance.errors import FactorRefused

CODE_TTL_S = 10 * 60
APPROVAL_TTL_S = 3600
LOGIN_TTL_S = 10 * 60
TRIES = 5
TRIES_WINDOW_S = 10 * 60
ACCOUNT_TRIES = 30
ACCOUNT_TRIES_WINDOW_S = 3600

REFUSED = "This second factor does not hold: it is wrong, outdated or used, or was tried too often."

ENDED = 0
"""Expiry of what was ended: before every clock's time, so that nodes whose clocks differ agree."""


@dataclass(frozen=True)
class MadeCode:
    """A new enrolment code; it is stored only as an HMAC."""

    code: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True)
class PendingApproval:
    """A device that waits for its owner's word."""

    device_id: str
    model: str
    display_name: str
    source: str
    asked_at: int
    expires_at: int


@dataclass(frozen=True)
class FactorStatus:
    """What the account asks for, and what it has. `phone` shows the last digits alone."""

    required: tuple[str, ...]
    totp: bool
    phone: str | None
    sms: bool
    trusted: bool


def refused() -> FactorRefused:
    """The one error of every factor that does not hold."""
    return FactorRefused(REFUSED)
