"""What a provisioning tells the person in front of the device, and what it asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from admittance.protocol.provisioning.network_secret import Network

StepName = Literal[
    "challenge",
    "access_point",
    "presence_code",
    "session",
    "evidence",
    "networks",
    "activation",
    "delivery",
    "network",
    "factor",
    "enrolment",
]

# Seconds that each step may take before it is given up with a cause.
DEADLINES_S: dict[StepName, int] = {
    "challenge": 30,
    "access_point": 60,
    "presence_code": 30,
    "session": 30,
    "evidence": 30,
    "networks": 30,
    "activation": 30,
    "delivery": 30,
    "network": 90,
    "factor": 600,
    "enrolment": 60,
}


@dataclass(frozen=True)
class StepStarted:
    step: StepName
    deadline_s: int


@dataclass(frozen=True)
class StepFinished:
    step: StepName
    detail: str = ""


@dataclass(frozen=True)
class DeviceMet:
    """The device in front of the person, as it says in a proven session."""

    device_id: str
    model: str
    owned: bool


@dataclass(frozen=True)
class AttemptFailed:
    """The device could not use the network; `cause` is a word of `NetworkFailure`."""

    cause: str
    attempt: int


@dataclass(frozen=True)
class FactorAwaited:
    """The device is online and waits for a second factor, any one of `kinds`, given elsewhere than on this phone."""

    device_id: str
    kinds: tuple[str, ...]


Event: TypeAlias = StepStarted | StepFinished | AttemptFailed | FactorAwaited


@dataclass(frozen=True)
class SeenNetwork:
    """A network that the device sees. `open` means that it wants no password."""

    ssid: str
    signal_dbm: int
    open: bool

    @property
    def bars(self) -> int:
        """Signal in bars, 0 to 4."""
        return sum(self.signal_dbm >= limit for limit in (-80, -70, -60, -50))


class Person(Protocol):
    """Who holds the phone."""

    def told(self, event: Event) -> None:
        """Take notice."""

    async def confirm(self, met: DeviceMet) -> bool:
        """Say whether this is the device to set up."""

    async def choose_network(self, seen: Sequence[SeenNetwork]) -> Network:
        """Choose one of the networks that the device sees, or another, and give its password."""

    async def mend_network(self, tried: Network | None, cause: str) -> Network | None:
        """Give another password or network after `tried` failed; None gives up.

        `tried` is None when the server manages the network, so the phone does not know it.
        """

    async def enrolment_code(self, *, refused: bool) -> str | None:
        """Give an enrolment code, another one if the last was refused; None leaves the device to another factor."""


@dataclass(frozen=True)
class Provisioned:
    """A device that is online. `purpose` is ``activate`` for a new owner, else ``reprovision``."""

    device_id: str
    model: str
    purpose: str
    attempts: int
