"""Asking a device where tokens for it are to be had, and for a nonce to have in them (RFC 9200, section 5.3)."""

import asyncio
import os
from typing import Final

from admittance.client.channel.link import Way
from admittance.errors import Malformed, Unavailable
from admittance.wire.access import AUTHZ_INFO_PATH
from admittance.wire.ace import RequestHints
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options

ANSWER_S: Final = 10.0
_TRIES: Final = 3
_PAUSE_S: Final = 1.1
"""A device tells its hints once a second at most."""


async def ask_hints(way: Way) -> RequestHints:
    """The hints of the device at the end of `way`; `cnonce` is empty where the device knows the time.

    They are not protected: who changes them gets the client a token that the device refuses. Raises `Unavailable`
    when the device tells none, and what opening the way raises.
    """
    for _ in range(_TRIES):
        answer = await _ask(way)
        if answer.payload:
            try:
                return RequestHints.decode(answer.payload)
            except Malformed as error:
                raise Unavailable("The device's hints do not decode. Try again.") from error
        await asyncio.sleep(_PAUSE_S)
    raise Unavailable("The device tells nobody now where its tokens are to be had. Try again later.")


async def _ask(way: Way) -> CoapMessage:
    link = await way.open()
    try:
        request = CoapMessage(codes.GET, os.urandom(4), path_options(AUTHZ_INFO_PATH))
        await link.send(request)
        async with asyncio.timeout(ANSWER_S):
            while (answer := await link.receive()).token != request.token:
                pass
            return answer
    except TimeoutError as error:
        raise Unavailable("The device does not answer. Try again.") from error
    finally:
        await link.close()
