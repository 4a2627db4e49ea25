"""Values of readings and of the consent to them."""

from dataclasses import dataclass

PAGE_ROWS = 1000
"""The most rows that one page of readings holds, and that an export keeps in memory."""


@dataclass(frozen=True)
class ConsentView:
    """What an owner lets a device send. `given_at` (Unix seconds) is that of the latest consent, None without any.

    `stored` counts the owner's stored readings of this device, `stored_withdrawn` those of them whose names are not
    consented to any more.
    """

    device_id: str
    readings: tuple[str, ...]
    given_at: int | None
    stored: int
    stored_withdrawn: int


@dataclass(frozen=True, order=True)
class Place:
    """Where a reading stands among those of its device."""

    epoch: int
    sequence: int
    position: int


@dataclass(frozen=True)
class Reading:
    """One stored reading. Times are Unix seconds.

    `measured_at` is the device's word, `received_at` the server's; `skew_s` is how far the device's clock was ahead
    of the server's when it sent the batch. `assurance` is that of the device's identity at that moment.
    """

    device_id: str
    place: Place
    name: str
    unit: str
    value: float | str
    measured_at: float
    received_at: int
    skew_s: int
    assurance: str


@dataclass(frozen=True)
class Page:
    """Newest first; `next` is None at the end."""

    readings: tuple[Reading, ...]
    next: Place | None
