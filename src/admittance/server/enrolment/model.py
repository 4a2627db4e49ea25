"""Values of enrolment."""

from dataclasses import dataclass
from typing import Literal

from admittance.errors import AuthenticationFailed, Refused

RevocationReason = Literal["superseded", "privilege_withdrawn", "cessation_of_operation"]

MAX_CERTIFICATE_TTL_S = 7 * 24 * 3600

UNIFORM = "The request is not authenticated, or this device may not enrol now."


@dataclass(frozen=True)
class Refusal:
    """`reason` goes to the audit log, unless it is empty; `error` to the device."""

    reason: str
    error: Refused


def uniform(reason: str) -> Refusal:
    """A refusal that looks like every other one."""
    return Refusal(reason, AuthenticationFailed(UNIFORM))


@dataclass(frozen=True)
class CertificatePolicy:
    """`ttl_s` is at most `MAX_CERTIFICATE_TTL_S`; devices renew after `renew_after_s`, or about then."""

    ttl_s: int

    @property
    def renew_after_s(self) -> int:
        return self.ttl_s // 2

    def renew_after(self, fingerprint: bytes) -> int:
        """When to renew the certificate of that SHA-256, in seconds after its issue.

        Spread by chance over the middle fifth of its life, so that devices that enrolled together don't return
        together.
        """
        return self.ttl_s * 2 // 5 + self.ttl_s * int.from_bytes(fingerprint[:2]) // (5 << 16)


@dataclass(frozen=True)
class Issued:
    """An operational certificate (DER) with its issuer's; `is_new` is false when it had been issued before."""

    certificate: bytes
    issuer: bytes
    server_time: int
    renew_after_s: int
    is_new: bool


@dataclass(frozen=True)
class AuthenticatedDevice:
    """A device that proved itself by its operational certificate, checked against the registry just now.

    `renew_after_s` counts from now and is 0 when renewal is due.
    """

    device_id: str
    account_id: str
    epoch: int
    renew_after_s: int
