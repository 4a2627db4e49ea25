"""Freshness after a restart (RFC 8613, appendix B.1.2, with the Echo option of RFC 9175).

Who kept a context but lost its replay window can't tell a replay from a new request. It answers the first one with
4.01 and an Echo value that nobody saw before; a request that carries this value was made since.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from admittance.protocol.channel.oscore.context import SecurityContext
from admittance.protocol.channel.oscore.exchange import Exchange
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage

ECHO_BYTES: Final = 16


@dataclass(frozen=True)
class Opened:
    """A request that is new: carry it out and answer it with the exchange."""

    message: CoapMessage
    exchange: Exchange


@dataclass(frozen=True)
class Challenge:
    """A request that may be a replay: do nothing of what it asks, and send this outer response."""

    outer: CoapMessage


class EchoGate:
    """Opens the requests to a context; while its window is lost, only those that prove to be fresh."""

    def __init__(self, context: SecurityContext, random: Callable[[int], bytes]) -> None:
        self._context = context
        self._echo = random(ECHO_BYTES)

    def unprotect_request(self, outer: CoapMessage) -> Opened | Challenge:
        """Raises what `SecurityContext.unprotect_request` raises."""
        if not self._context.window.is_lost:
            return Opened(*self._context.unprotect_request(outer))
        message, exchange, number = self._context.unprotect_unordered_request(outer)
        if hmac.compare_digest(message.option(opt.ECHO) or b"", self._echo):
            self._context.window.start(number)
            return Opened(message.without(opt.ECHO), exchange)
        challenge = CoapMessage(codes.UNAUTHORIZED, outer.token, ((opt.ECHO, self._echo),))
        return Challenge(self._context.protect_response(challenge, exchange))


def with_echo(request: CoapMessage, response: CoapMessage) -> CoapMessage | None:
    """The request to send again after a challenge; `None` if the response is none, or the second one."""
    echo = response.option(opt.ECHO)
    if response.code != codes.UNAUTHORIZED or echo is None or request.option(opt.ECHO) is not None:
        return None
    return request.with_options((opt.ECHO, echo))
