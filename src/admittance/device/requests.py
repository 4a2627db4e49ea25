"""How a device makes operational keys and asks for certificates of them.

What `make_key` gives is opaque to the rest of the agent, which keeps it on the disk: the key itself as PKCS #8 on a
device without a TPM, and what only its TPM can load on a device with one.
"""

from dataclasses import dataclass
from typing import Protocol

from admittance.device.keys import load_private_key, make_private_key
from admittance.protocol.enrolment.building import build_request
from admittance.protocol.signing import Signer, spki_of
from admittance.wire.enrolment import Factor
from admittance.wire.tpm_enrolment import CredentialChallenge, CredentialRequest


@dataclass(frozen=True)
class Wanted:
    """What a request is to say. `key` is what `make_key` gave, `ticket` is empty when renewing or enrolling again."""

    key: bytes
    nonce: bytes
    device_id: str
    epoch: int
    ticket: bytes
    factor: Factor | None = None


@dataclass(frozen=True)
class SignedRequest:
    """A request as the server takes it, and the key (SPKI) that it asks a certificate for."""

    data: bytes
    operational_spki: bytes


class Challenger(Protocol):
    """The first-contact listener, as a request with a TPM's proof needs it."""

    async def credential(self, request: CredentialRequest) -> CredentialChallenge: ...


class Requests(Protocol):
    """See the module."""

    def make_key(self) -> bytes:
        """A fresh operational key, to be kept. With a TPM this raises `TpmUnavailable` or `TpmRefused`."""

    async def build(self, wanted: Wanted, challenger: Challenger) -> SignedRequest:
        """The signed request. With a TPM this raises what `Challenger.credential` raises, `TpmUnavailable`,
        `TpmRefused`, or `TpmKeyLost` if the kept key is not of this TPM."""


class SoftwareRequests:
    """With keys in files."""

    def __init__(self, identity: Signer) -> None:
        self._identity = identity

    def make_key(self) -> bytes:
        return make_private_key()

    async def build(self, wanted: Wanted, challenger: Challenger) -> SignedRequest:
        key = load_private_key(wanted.key)
        data = build_request(
            self._identity,
            key,
            nonce=wanted.nonce,
            device_id=wanted.device_id,
            epoch=wanted.epoch,
            ticket=wanted.ticket,
            factor=wanted.factor,
        )
        return SignedRequest(data, spki_of(key.public_key()))
