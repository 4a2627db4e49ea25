"""Readings: what a device measured, on its way to the server with the owner's consent.

Over the device's own conversation with the server: ``POST /readings`` with `Readings` is answered with
`ReadingsAccepted`, and so is ``GET /readings``, with the highest sequence number that the server has. The owner tells
the device at ``/consent`` what it may send.
"""

from typing import Annotated, Final

import msgspec

from admittance.wire import senml
from admittance.wire.message import Message, Unsigned

READINGS_PATH: Final = "/readings"
TIME_PATH: Final = "/time"
CONSENT_PATH: Final = "/consent"
ENDED_PATH: Final = "/server/ended"

MAX_CONSENTED: Final = 64

ReadingName = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z", max_length=senml.MAX_NAME_CHARACTERS),
]
"""A SenML name (RFC 8428, section 4.5.1), as the records of a pack resolve to it."""


class Readings(Message, frozen=True, tag="admittance/readings/1"):
    """One batch. `sequence` counts a device's batches in one epoch from 1 on; a batch that is sent again keeps its
    number and pack.

    `sent_at` is the device's clock (Unix seconds) as it sends; `pack` is SenML-CBOR (`wire.senml`).
    """

    sequence: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    sent_at: Unsigned
    pack: Annotated[bytes, msgspec.Meta(min_length=1, max_length=senml.MAX_PACK_BYTES)]


class ReadingsAccepted(Message, frozen=True):
    """The batch of `sequence` is stored, now or before, or holds nothing that the owner agreed to; the device may
    forget it. `server_time` is in Unix seconds."""

    sequence: Unsigned
    server_time: Unsigned


class Consent(Message, frozen=True, tag="admittance/consent/1"):
    """The names of the readings that the device may send to the server; none: it sends nothing."""

    readings: Annotated[list[ReadingName], msgspec.Meta(max_length=MAX_CONSENTED)]


class ServerTime(Message, frozen=True):
    """The answer to ``GET /time``, in Unix seconds."""

    server_time: Unsigned


class EndedNotice(Message, frozen=True):
    """``POST /server/ended``: what was given in `epoch` and before it has ended."""

    epoch: Unsigned
