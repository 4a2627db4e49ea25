"""What a provisioning needs of the server and of the device in front of it."""

from dataclasses import dataclass
from typing import Protocol

from admittance.client.channel.cards import AppCard
from admittance.client.provisioning_events import SeenNetwork
from admittance.client.provisioning_state import RunningProvisioning
from admittance.wire.provisioning_messages import EvidenceAnswer, Hello, Status


@dataclass(frozen=True)
class Challenge:
    challenge: bytes
    expires_at: int


@dataclass(frozen=True)
class AccessPoint:
    ssid: str
    passphrase: str

    def __repr__(self) -> str:
        return f"AccessPoint(ssid={self.ssid!r})"


@dataclass(frozen=True)
class Setup:
    """What the server tells the owner-to-be of a scanned setup code."""

    challenge: Challenge
    presence: str
    access_point: AccessPoint


@dataclass(frozen=True)
class PossessionCode:
    """User name and password of a Security 2 session."""

    username: str
    code: str

    def __repr__(self) -> str:
        return f"PossessionCode(username={self.username!r})"


@dataclass(frozen=True)
class Activation:
    """The server's answer: `sealed` is for the device alone; its enrolment needs any one of `second_factor`.

    `epoch` counts the device's owners, this one included.
    """

    device_id: str
    purpose: str
    epoch: int
    sealed: bytes
    second_factor: tuple[str, ...] = ()


class Server(Protocol):
    """What the phone asks its server while it is online."""

    @property
    def origin(self) -> str: ...
    async def challenge(self) -> Challenge: ...
    async def setup(self, device_id: str) -> Setup: ...
    async def presence_code(self, challenge: bytes, device_id: str, window: bytes) -> PossessionCode: ...
    async def activate(self, running: RunningProvisioning) -> Activation: ...
    async def enrolled(self, device_id: str) -> bool: ...


class Link(Protocol):
    """One proven session with the device. A refusal of the device is raised as the error that it names."""

    @property
    def binding(self) -> bytes: ...
    async def hello(self) -> Hello: ...
    async def evidence(self, challenge: bytes) -> EvidenceAnswer: ...
    async def networks(self) -> list[SeenNetwork]: ...
    async def configure(self, sealed: bytes, app_key: bytes, app: AppCard) -> None: ...
    async def send_network(self, attempt: int, salt: bytes, ciphertext: bytes) -> None: ...
    async def send_code(self, code: str) -> None: ...
    async def status(self) -> Status: ...


class Door(Protocol):
    """The device's access point, once the phone is on it."""

    async def window(self) -> bytes | None:
        """The nonce of the open window of a button device. Raises `NotAllowed` for a device that is not safe."""

    async def enter(self, code: PossessionCode) -> Link:
        """Open a session. Raises `AuthenticationFailed` if the code does not hold on either side."""
