"""T30. Means: hundreds of addresses on a device's local network, and a token that somebody saw. Goal: keep out who
has a key, use the device up, or make it send more than it gets.
"""

import asyncio
import os
from itertools import count
from pathlib import Path

from admittance.protocol.access.authz_info import ACE_FORMAT
from admittance.wire.access import AUTHZ_INFO_PATH
from admittance.wire.ace import AuthzInfo
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE, path_options
from tests.access_world import Site
from tests.attack.flooding import Datagrams, addresses, growing_less_than
from tests.attack.possession import carried_out, give, new_order, order

DEVICE_KB = 4096
PATIENCE_S = 20.0
FLOOD_S = 8.0
CONTEXTS = 1000
FEW = 24
"""Fewer sources than a device has room for peers: one alone could have many contexts."""

OPTIONS = (*path_options(AUTHZ_INFO_PATH), *ACE_FORMAT)


async def test_a_flood_of_tokens(granting: Site, tmp_path: Path) -> None:
    """One that is known, unknown ones, and messages under contexts that nobody has proven: a guest's conversation
    goes on, its grant is not touched, and a newcomer with a key gets in."""
    key, newcomer = granting.granted(20), granting.granted()
    await granting.push(key, newcomer)
    numbers = count()

    def question() -> CoapMessage:
        number = next(numbers)
        token = number.to_bytes(4, "big")
        if number % 3 == 0:
            forged = ((OSCORE, b"\x09\x00" + bytes([number % 24])),)
            return CoapMessage(codes.POST, token, forged, os.urandom(60))
        posted = AuthzInfo(key.token if number % 3 == 1 else os.urandom(16), os.urandom(8), b"\x05")
        return CoapMessage(codes.POST, token, OPTIONS, posted.encode())

    said = [new_order() for _ in range(6)]
    sources = addresses(61, 300)
    async with (
        granting.near(key, tmp_path) as channel,
        Datagrams.from_many(sources, granting.address) as datagrams,
    ):
        with growing_less_than(DEVICE_KB, granting.agent.pid):
            flooding = asyncio.create_task(datagrams.flood(question, [b"", b"\0", os.urandom(1400)]))
            for each in said[:5]:
                await asyncio.sleep(0.2)
                assert await give(channel, each, timeout_s=PATIENCE_S) is None
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        assert datagrams.answers > len(sources)
        assert datagrams.received < datagrams.sent
        assert await order(granting, newcomer, tmp_path, said[5]) is None
    assert all(carried_out(granting).count(each) == 1 for each in said)
    assert {use.grant: use.used for use in (await granting.state()).used}[key.grant] == 5


async def test_a_flood_of_one_token_that_somebody_saw(granting: Site, tmp_path: Path) -> None:
    """Each question makes a context that nobody proves: they take little of the device, and a newcomer gets in among
    them. No other strangers were there before, whose places a newcomer would get."""
    await granting.power_cut()
    await granting.power_up()
    seen, newcomer = granting.granted(), granting.granted()
    await granting.push(seen, newcomer)

    def question() -> CoapMessage:
        posted = AuthzInfo(seen.token, os.urandom(8), b"\x05")
        return CoapMessage(codes.POST, os.urandom(4), OPTIONS, posted.encode())

    said = new_order()
    async with Datagrams.from_many(addresses(63, FEW), granting.address) as datagrams:
        with growing_less_than(DEVICE_KB, granting.agent.pid):
            flooding = asyncio.create_task(datagrams.flood(question, [b""]))
            await asyncio.sleep(FLOOD_S)
            refusal = await order(granting, newcomer, tmp_path, said)
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        assert datagrams.answers > CONTEXTS
    assert refusal is None
    assert carried_out(granting).count(said) == 1


async def test_questions_without_a_token_are_not_answered_with_more_than_they_are(granting: Site) -> None:
    """The hints where to have a token are long; they are told once a second at most."""
    asked = CoapMessage(codes.GET, b"\x01", path_options("/lock"))
    async with Datagrams.from_many(addresses(62, 100), granting.address) as datagrams:
        flooding = asyncio.create_task(datagrams.flood(lambda: asked, [b""]))
        await asyncio.sleep(3)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        assert datagrams.answers > 100
        assert datagrams.received < datagrams.sent
