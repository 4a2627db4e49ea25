"""T01. Means: on the access point, as many requests as the radio carries. Goal: hit a possession code by guessing."""

import asyncio
import os
import time
from dataclasses import dataclass

import httpx
import pytest

from admittance.errors import Throttled, WrongCode
from admittance.protocol.provisioning.client import Request
from admittance.protocol.provisioning.codes import CODE_BYTES, CODE_ID_BYTES
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ClientHandshake
from admittance.wire import crockford
from admittance.wire.protocomm import session
from admittance.wire.protocomm.parsing import Status
from tests.attack.world import Guest, World

ATTACK_S = 2.5


@dataclass(frozen=True)
class Handshake:
    """What both steps of a handshake look like from outside: HTTP and lengths, the statuses, the salt."""

    shape: tuple[object, ...]
    statuses: tuple[Status, ...]
    salt: bytes


def _guess(size: int) -> str:
    return crockford.encode(os.urandom(size))


async def _try(guest: Guest, username: str, code: str) -> Handshake:
    handshake = ClientHandshake.start(PROVISIONING_SUITE, username=username, password=code, random=os.urandom)
    first = session.encode_command(session.Command0(username, handshake.client_public))
    answer = await guest.send(Request("prov-session", first))
    challenge = session.decode_response0(answer.content)
    if challenge.status is not Status.SUCCESS:
        return Handshake(_shape(answer), (challenge.status,), b"")
    proof = handshake.answer(challenge.salt, challenge.device_public).proof
    cookie = answer.headers["set-cookie"].removeprefix("session=")
    second = await guest.send(Request("prov-session", session.encode_command(session.Command1(proof)), cookie))
    return Handshake(
        (_shape(answer), len(challenge.salt), challenge.salt[0] != 0, _shape(second)),
        (challenge.status, session.decode_response1(second.content).status),
        challenge.salt,
    )


def _shape(answer: httpx.Response) -> tuple[object, ...]:
    return answer.status_code, tuple(answer.headers), len(answer.content)


async def test_guesses_are_slowed_down_and_none_succeeds(world: World) -> None:
    device = await world.unowned()
    answered = refused = 0
    async with world.guest(device) as guest:
        started = time.monotonic()
        while time.monotonic() < started + ATTACK_S:
            try:
                await guest.enter(_guess(CODE_ID_BYTES), _guess(CODE_BYTES))
            except WrongCode:
                answered += 1
                took = time.monotonic() - started
                assert took >= 2 ** (answered - 1) - 1, f"{answered} guesses were taken within {took:.1f} s."
            except Throttled:
                refused += 1
            await asyncio.sleep(0.01)
    assert answered >= 1
    assert refused > answered
    assert not device.events("session_proven")


async def test_one_failure_burns_a_code(world: World) -> None:
    device = await world.unowned()
    code = await device.next_code()
    async with world.guest(device) as guest:
        with pytest.raises(WrongCode):
            await guest.enter(code.username, _guess(CODE_BYTES))
        with pytest.raises(WrongCode):
            await guest.enter(code.username, code.pop)
        assert not device.events("session_proven")
        successor = await device.next_code(code)
        await guest.enter(successor.username, successor.pop)
    assert len(device.events("session_proven")) == 1


async def test_an_unknown_id_looks_like_a_wrong_code(world: World) -> None:
    device = await world.unowned()
    code = await device.next_code()
    unknown_id = _guess(CODE_ID_BYTES)
    async with world.guest(device) as guest:
        known = await _try(guest, code.username, _guess(CODE_BYTES))
        unknown = await _try(guest, unknown_id, _guess(CODE_BYTES))
        again = unknown
        while again is unknown or again.statuses == (Status.TOO_MANY_SESSIONS,):
            await asyncio.sleep(0.1)
            again = await _try(guest, unknown_id, _guess(CODE_BYTES))
    assert known.statuses == unknown.statuses == (Status.SUCCESS, Status.CRYPTO_ERROR)
    assert known.shape == unknown.shape
    assert again.salt == unknown.salt, "The salt of an unknown id changes, unlike that of a code."
