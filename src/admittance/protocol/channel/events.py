"""What a channel tells its program. `handle` numbers a request for the life of the channel."""

from dataclasses import dataclass
from typing import TypeAlias

from admittance.errors import AdmittanceError
from admittance.wire.access import Holder
from admittance.wire.coap.message import CoapMessage


@dataclass(frozen=True, slots=True)
class Established:
    """The peer proved its key. `holder` is what it holds; None on the initiator's side, where the peer is the one
    that was asked for."""

    holder: Holder | None


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A whole request: answer it by `respond`, or by `notify` as often as needed if it has an Observe option."""

    handle: int
    holder: Holder | None
    message: CoapMessage


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A whole answer to a request of ours; `more` tells that it observes, and further answers may come."""

    handle: int
    message: CoapMessage
    more: bool


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """No answer will come to a request of ours. With `ChannelLost` it may have been carried out."""

    handle: int
    error: AdmittanceError


@dataclass(frozen=True, slots=True)
class ObservationEnded:
    """Nobody waits for notifications to this request of the peer's any more."""

    handle: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The channel is over; no event follows."""

    error: AdmittanceError


Event: TypeAlias = Established | RequestReceived | ResponseReceived | RequestFailed | ObservationEnded | Ended
