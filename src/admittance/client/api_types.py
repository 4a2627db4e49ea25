"""What the people API answers. Fields that a newer server adds are ignored."""

import msgspec

from admittance.errors import Malformed
from admittance.wire import base64url

Bytes = str
"""Base64url without padding; `decode_bytes` gives the bytes."""


class Answer(msgspec.Struct, frozen=True):
    """Root of the answers."""


class Account(Answer, frozen=True):
    account_id: str
    email: str
    display_name: str
    operator: bool
    quota: int
    devices: int


class AcceptedInvite(Answer, frozen=True):
    account_id: str
    email: str


class CreatedInvite(Answer, frozen=True):
    """`link` is a secret until it is accepted."""

    link: str
    expires_at: int


class Model(Answer, frozen=True):
    model: str
    display_name: str
    manual_url: str
    presence: str
    minimum_assurance: str


class StoredNetwork(Answer, frozen=True):
    name: str
    ssid: str


class Challenge(Answer, frozen=True):
    challenge: Bytes
    expires_at: int


class AccessPoint(Answer, frozen=True):
    ssid: str
    passphrase: str

    def __repr__(self) -> str:
        return f"AccessPoint(ssid={self.ssid!r})"


class Setup(Answer, frozen=True):
    """What the server tells about a scanned setup code."""

    device_id: str
    model: str
    display_name: str
    presence: str
    challenge: Bytes
    expires_at: int
    access_point: AccessPoint


class PresenceCode(Answer, frozen=True):
    username: str
    code: str

    def __repr__(self) -> str:
        return f"PresenceCode(username={self.username!r})"


class Activation(Answer, frozen=True):
    device_id: str
    purpose: str
    epoch: int
    sequence: int
    sealed: Bytes
    expires_at: int
    second_factor: tuple[str, ...] = ()


class Certificate(Answer, frozen=True):
    serial: str
    not_after_at: int


class Device(Answer, frozen=True):
    device_id: str
    model: str
    display_name: str
    state: str
    assurance: str
    epoch: int
    activated_at: int | None
    last_seen_at: int | None
    certificate: Certificate | None
    reported: str | None = None
    release_at: int | None = None
    offline: bool = False
    online: bool = False


class MadeCode(Answer, frozen=True):
    """An enrolment code."""

    code: str
    expires_at: int

    def __repr__(self) -> str:
        return f"MadeCode(expires_at={self.expires_at})"


class PendingEnrolment(Answer, frozen=True):
    """A device that waits for its owner's approval."""

    device_id: str
    model: str
    display_name: str
    source: str
    asked_at: int
    expires_at: int


class PendingEnrolments(Answer, frozen=True):
    enrolments: list[PendingEnrolment]


class Factors(Answer, frozen=True):
    """The account's second factors. `phone` shows the last digits alone; `trusted` is this app."""

    required: list[str]
    totp: bool
    phone: str | None
    sms: bool
    trusted: bool


class TotpSeed(Answer, frozen=True):
    """The otpauth URI for an authenticator app; it is a secret."""

    uri: str

    def __repr__(self) -> str:
        return "TotpSeed(…)"


class Trust(Answer, frozen=True):
    trusted: bool


class HistoryEvent(Answer, frozen=True):
    """A row of the server's audit chain; `details` is None where the row is an earlier owner's."""

    number: int
    at: int
    event: str
    by: str
    epoch: int | None
    details: dict[str, str | int | bool | None] | None
    mac: str


class History(Answer, frozen=True):
    events: list[HistoryEvent]


class ReadingsConsent(Answer, frozen=True):
    """What a device may send, by the server's records. `stored_withdrawn` of the `stored` readings have names that
    are not consented to any more."""

    device_id: str
    readings: list[str]
    given_at: int | None
    stored: int
    stored_withdrawn: int


class Reading(Answer, frozen=True):
    """`measured_at` is the device's word, `received_at` the server's (Unix seconds); `skew_s` is how far the device's
    clock was ahead."""

    name: str
    unit: str
    value: float | str
    measured_at: float
    received_at: int
    skew_s: int
    assurance: str


class ReadingsPage(Answer, frozen=True):
    """Newest first; `next` asks for the page after."""

    readings: list[Reading]
    next: str | None


class Discovery(Answer, frozen=True):
    """`/.well-known/admittance`. `relay` are the base URLs at which apps reach devices, in the order to try."""

    origin: str
    configuration_root: Bytes
    manifest_key: Bytes
    relay: list[str] = []


class Networks(Answer, frozen=True):
    networks: list[StoredNetwork]


class Models(Answer, frozen=True):
    models: list[Model]


class Devices(Answer, frozen=True):
    devices: list[Device]


def decode_bytes(text: Bytes) -> bytes:
    """The bytes of a field. Raises `Malformed`."""
    try:
        return base64url.decode(text)
    except Malformed as error:
        raise Malformed("The server's answer holds broken base64url.") from error
