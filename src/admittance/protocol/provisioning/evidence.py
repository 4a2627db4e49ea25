"""Signing evidence on the device and verifying it on the server."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from admittance.errors import WrongBinding, WrongChallenge, WrongDevice, WrongOrigin
from admittance.protocol.signing import Signer, load_public_key, sign1, verify1
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.device_id import device_id
from admittance.wire.evidence import Evidence


def sign_evidence(evidence: Evidence, signer: Signer, chain: Sequence[bytes] = ()) -> bytes:
    """Sign `evidence` with the identity key; `chain` is the identity certificate (DER) of a certified device."""
    return sign1(signer, message.encode(evidence), chain=chain)


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """Evidence that its identity signed, over the challenge and the session that the server expects."""

    evidence: Evidence
    identity_spki: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedEvidence:
    """Evidence as it came in: nothing in it may be believed but as a hint which identity to look up."""

    evidence: Evidence
    sign1: Sign1

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The identity certificate (DER) that the device sent along; empty for a listed device."""
        return self.sign1.chain

    def verify(self, identity_spki: bytes, *, origin: str, challenge: bytes, binding: bytes) -> VerifiedEvidence:
        """Check signature, device id, origin, challenge and binding.

        `binding` is the app's own view of the session. Raises `SignatureInvalid`, `WrongDevice`, `WrongOrigin`,
        `WrongChallenge` or `WrongBinding`, and what `load_public_key` raises if `identity_spki` isn't a key.
        """
        verify1(self.sign1, load_public_key(identity_spki))
        if self.evidence.device_id != device_id(identity_spki):
            raise WrongDevice("The evidence names another device id than its identity key has.")
        if self.evidence.server_origin != origin:
            raise WrongOrigin("The evidence was made for another server.")
        if not hmac.compare_digest(self.evidence.challenge, challenge):
            raise WrongChallenge("The evidence answers another challenge.")
        if not hmac.compare_digest(self.evidence.binding, binding):
            raise WrongBinding("Phone and device do not share one session: somebody may sit between them.")
        return VerifiedEvidence(self.evidence, identity_spki)


def read_evidence(data: bytes) -> UnverifiedEvidence:
    """Decode evidence. Raises `Malformed`."""
    sign1_message = Sign1.decode(data)
    return UnverifiedEvidence(message.decode(sign1_message.payload, Evidence), sign1_message)
