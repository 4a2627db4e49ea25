"""What a transaction tells its shell to do, and what the shell tells it."""

from dataclasses import dataclass, field
from typing import TypeAlias

from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.provisioning.network_secret import Network
from admittance.wire import provisioning_messages as wire
from admittance.wire.sealed import Configuration, Header


@dataclass(frozen=True)
class AllowResume:
    """Accept these 16-byte values as user name and code of later sessions, until `until` (monotonic seconds)."""

    transaction_id: bytes
    resume_code: bytes = field(repr=False)
    until: float


@dataclass(frozen=True)
class ForgetResume:
    """Accept no more sessions of this transaction."""

    transaction_id: bytes


@dataclass(frozen=True)
class PersistConfiguration:
    """Save header, configuration and the list of credentials in one step; `new_owner` drops what was issued to the
    owner before."""

    header: Header
    configuration: Configuration = field(repr=False)
    new_owner: bool
    credentials: CredentialList


@dataclass(frozen=True)
class TryNetwork:
    """Join `network`, reach the server through it, and keep it only then. Replaces an attempt under way."""

    network: Network
    attempt: int


@dataclass(frozen=True)
class UseCode:
    """Use this enrolment code as the second factor of the enrolment under way."""

    code: str = field(repr=False)


Command: TypeAlias = AllowResume | ForgetResume | PersistConfiguration | TryNetwork | UseCode


@dataclass(frozen=True)
class AttemptJoined:
    """The network gave an address."""

    attempt: int


@dataclass(frozen=True)
class AttemptSucceeded:
    """The server was reached and the network kept."""

    attempt: int


@dataclass(frozen=True)
class AttemptFailed:
    attempt: int
    cause: wire.Cause


@dataclass(frozen=True)
class EnrolmentFinished:
    """The device holds an operational certificate of this epoch."""

    epoch: int = 0


@dataclass(frozen=True)
class FactorWanted:
    """The server wants a second factor, refused one, or waits for the owner."""

    cause: wire.Cause


Event: TypeAlias = AttemptJoined | AttemptSucceeded | AttemptFailed | EnrolmentFinished | FactorWanted
