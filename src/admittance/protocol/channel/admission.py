"""Admissions: an owner's countersigned word that a device shall list a guest (see `docs/protocol/channel.md`)."""

from dataclasses import dataclass
from typing import Final

from admittance.errors import Malformed, NotAllowed, WrongDevice
from admittance.protocol.signing import Signer, load_public_key, sign1, verify1
from admittance.wire import message
from admittance.wire.channel import KID_BYTES, Admission, Entry
from admittance.wire.cose import KID, Sign1

MAX_ADMISSION_BYTES: Final = 4096


def sign_admission(admission: Admission, signer: Signer, kid: bytes) -> bytes:
    """Countersign `admission` with an owner's signing key; `kid` is that owner's channel credential."""
    return sign1(signer, message.encode(admission), kid=kid)


@dataclass(frozen=True, slots=True)
class UnverifiedAdmission:
    """An admission as it came in: nothing in it may be believed but as a hint which owner to look up."""

    kid: bytes
    sign1: Sign1

    def verify(self, owner: Entry, device_id: str) -> Admission:
        """Check the signature, the device, and that it admits a guest and nothing more.

        Raises `SignatureInvalid`, `NotAllowed`, `WrongDevice`, `Malformed`, and what `load_public_key` raises.
        """
        if owner.role != "owner" or not owner.signing:
            raise NotAllowed("Only an owner with a signing key admits somebody.")
        payload = verify1(self.sign1, load_public_key(owner.signing))
        admission = message.decode(payload, Admission, MAX_ADMISSION_BYTES)
        if admission.device_id != device_id:
            raise WrongDevice("The admission is for another device.")
        if admission.entry.role != "guest":
            raise NotAllowed("An admission lets in guests: another role is added over an owner's channel.")
        return admission


def read_admission(data: bytes) -> UnverifiedAdmission:
    """Decode an admission. Raises `Malformed`."""
    sign1_message = Sign1.decode(data, MAX_ADMISSION_BYTES)
    kid = sign1_message.protected.get(KID)
    if not isinstance(kid, bytes) or len(kid) != KID_BYTES:
        raise Malformed("an admission that does not name its owner's credential")
    return UnverifiedAdmission(kid, sign1_message)
