"""Values of challenges and activations."""

from dataclasses import dataclass, field

from admittance.protocol.provisioning.network_secret import Network
from admittance.wire.sealed import Purpose

CHALLENGE_BYTES = 32
CHALLENGE_TTL_S = 15 * 60
TICKET_BYTES = 32
TICKET_TTL_S = 3600
PROVISION = "provision"


@dataclass(frozen=True)
class Caller:
    """Who asks: an account, and the thumbprint of the key that its token is bound to."""

    account_id: str
    jkt: str


@dataclass(frozen=True)
class IssuedChallenge:
    """A challenge for one activation. `expires_at` is in Unix seconds."""

    challenge: bytes
    expires_at: int


@dataclass(frozen=True)
class ServerNetwork:
    """A stored premises network, to be encrypted under the app's key (32 bytes)."""

    network: Network
    app_key: bytes = field(repr=False)


@dataclass(frozen=True)
class ActivationRequest:
    """What the app brings from the device.

    `binding` is the app's own view of the session, `transaction_id` has 16 bytes. `network` is None when
    the app manages the premises network; `network_name` then is empty.
    """

    challenge: bytes
    evidence: bytes
    binding: bytes
    transaction_id: bytes
    network_name: str = ""
    network: ServerNetwork | None = None


@dataclass(frozen=True)
class Activation:
    """The answer, for the device's eyes only. `is_new` is false when the same request was answered before."""

    device_id: str
    purpose: Purpose
    epoch: int
    sequence: int
    sealed: bytes
    expires_at: int
    is_new: bool
