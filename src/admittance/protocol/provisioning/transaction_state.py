"""What a transaction knows: of its device, of the session that asks, and of itself while it is open."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from admittance.protocol.sealing import SealKey
from admittance.protocol.signing import Signer
from admittance.wire import provisioning_messages as wire
from admittance.wire.evidence import PresenceMethod


class Session(Protocol):
    """What the machine needs to know of a proven Security 2 session."""

    @property
    def binding(self) -> bytes: ...

    @property
    def method(self) -> PresenceMethod: ...

    @property
    def code_age_s(self) -> int: ...


@dataclass(frozen=True)
class DeviceFacts:
    """What does not change while the device lives. `root_spki_sha256` is the configuration root it was made with."""

    device_id: str
    model: str
    firmware: str
    presence: wire.Presence
    server_origin: str
    root_spki_sha256: bytes
    wifi_scan: bool = True
    transport: Literal["softap", "ble"] = "softap"


@dataclass(frozen=True)
class Standing:
    """Who owns the device, and what it accepted so far."""

    epoch: int
    last_sequence: int
    resets: int
    owned: bool


@dataclass(frozen=True)
class DeviceKeys:
    """Identity with its certificate chain (DER, empty when listed), seal key, and the public parts of the others."""

    identity: Signer
    chain: tuple[bytes, ...]
    seal: SealKey
    channel_spki: bytes
    access_spki: bytes


@dataclass
class Open:
    """An open transaction."""

    transaction_id: bytes
    device_nonce: bytes
    resume_code: bytes = field(repr=False)
    opened_at: float
    challenge: bytes | None = None
    app_key: bytes | None = field(default=None, repr=False)
    accepted: bytes | None = None
    accepted_sequence: int = 0
    permits: frozenset[str] = frozenset()
    configured_by: bytes = b""
    attempt: int = 0
    attempt_digest: bytes = b""
    state: wire.State = "idle"
    cause: wire.Cause = ""
