"""The signed report of a factory reset: the device tells the server that nothing of its old state remains."""

import hmac
from dataclasses import dataclass

from admittance.errors import WrongChallenge, WrongDevice
from admittance.protocol.signing import Signer, load_public_key, sign1, verify1
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.device_id import device_id as device_id_of
from admittance.wire.enrolment import ResetReport


def build_reset_report(identity: Signer, *, nonce: bytes, device_id: str, epoch: int, resets: int) -> bytes:
    """A report signed by identity; `resets` is the device's count of resets after this one."""
    return sign1(identity, message.encode(ResetReport(nonce, device_id, epoch, resets)))


@dataclass(frozen=True, slots=True)
class UnverifiedResetReport:
    """A report as it came in."""

    report: ResetReport
    sign1: Sign1

    def verify(self, identity_spki: bytes, nonce: bytes) -> ResetReport:
        """Check signature, device id and nonce. Raises `SignatureInvalid`, `WrongDevice` or `WrongChallenge`."""
        verify1(self.sign1, load_public_key(identity_spki))
        if self.report.device_id != device_id_of(identity_spki):
            raise WrongDevice("The report names another device id than its identity key has.")
        if not hmac.compare_digest(self.report.nonce, nonce):
            raise WrongChallenge("The report answers another nonce.")
        return self.report


def read_reset_report(data: bytes) -> UnverifiedResetReport:
    """Decode a report. Raises `Malformed`."""
    sign1_message = Sign1.decode(data)
    return UnverifiedResetReport(message.decode(sign1_message.payload, ResetReport), sign1_message)
