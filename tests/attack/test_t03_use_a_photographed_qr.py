"""T03. Means: a photo of the display, a station on the access point. Goal: get in with the photo later, or keep the
owner from getting in.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from admittance.client.network import ACCESS_POINT
from admittance.device.access_point import MAX_CONNECTIONS
from admittance.errors import AdmittanceError, Throttled, WrongCode
from admittance.protocol.provisioning.client import ProvisioningClient, Request, Response, run_blocking
from admittance.protocol.provisioning.codes import CODE_BYTES, CODE_ID_BYTES, CodeBook, RotatingCodes
from admittance.protocol.provisioning.device import MAX_HALF_OPEN, Capabilities, ProvisioningDevice
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ClientHandshake
from admittance.protocol.provisioning.stock import StockEndpoints
from admittance.wire import crockford
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.protocomm import session
from admittance.wire.protocomm.parsing import Status
from tests.attack.world import Device, Guest, World

SHOWN_AT, ROTATION_S, GRACE_S = 1000.0, 60.0, 90.0


def _enters(at: float) -> bool:
    """Whether a photo taken at `SHOWN_AT` opens the device at `at`; the display rotates meanwhile."""
    codes = RotatingCodes(rotation_s=ROTATION_S, grace_s=GRACE_S)
    machine = ProvisioningDevice(
        codes=CodeBook(rotating=codes),
        capabilities=Capabilities("display"),
        application={},
        stock_endpoints=StockEndpoints(lambda endpoint, now: True),
        boot_key=os.urandom(32),
    )
    photo = codes.shown(SHOWN_AT, os.urandom)
    moment = SHOWN_AT
    while moment < at:
        codes.shown(moment, os.urandom)
        moment += 1.0
    codes.shown(at, os.urandom)

    def exchange(request: Request) -> Response:
        reply = machine.receive(request.endpoint, request.cookie, request.body, at, os.urandom)
        return Response(reply.status, reply.body, reply.cookie)

    with contextlib.suppress(WrongCode, Throttled):
        run_blocking(ProvisioningClient(photo.code_id, photo.code, os.urandom).open(), exchange)
    return machine.session is not None


@pytest.mark.parametrize(
    ("seconds", "opens"),
    [
        (0.0, True),
        (ROTATION_S, True),
        (ROTATION_S + GRACE_S - 0.001, True),
        (ROTATION_S + GRACE_S, False),
        (3600.0, False),
    ],
)
async def test_a_photo_is_good_until_90_s_after_its_code_left(seconds: float, opens: bool) -> None:
    assert _enters(SHOWN_AT + seconds) is opens


async def test_a_photo_of_a_used_code_opens_nothing(world: World) -> None:
    device = await world.unowned()
    photo = await device.next_code()
    async with world.guest(device) as owner, world.guest(device) as thief:
        visit = await owner.enter(photo.username, photo.pop)
        with pytest.raises(WrongCode):
            await thief.enter(photo.username, photo.pop)
        assert (await visit.hello()).device_id == device.device_id, "The owner's session goes on."


async def test_a_photo_of_an_outdated_code_opens_nothing(world: World) -> None:
    device = await world.unowned(rotation_s=1, grace_s=1)
    photo = await device.next_code()
    successor = await device.next_code(photo)
    await asyncio.sleep(1.0)
    async with world.guest(device) as thief:
        with pytest.raises(WrongCode):
            await thief.enter(photo.username, photo.pop)
        code = await device.next_code(photo, successor)
        await thief.enter(code.username, code.pop)


async def test_nobody_keeps_the_owner_out(world: World, owner: Path) -> None:
    device = await world.unowned()
    photo = await device.next_code()
    async with world.guest(device) as thief:
        with pytest.raises(WrongCode):
            await thief.enter(photo.username, crockford.encode(os.urandom(CODE_BYTES)))
    async with _siege(world, device, photo) as refusals:
        await world.set_up(owner, await device.next_code(photo))
        assert refusals, "The siege was on."
    assert (await device.status())["owned"]


async def test_sessions_left_half_open_keep_nobody_out(world: World) -> None:
    """The thief knows the id of the code that the owner scans, and takes every place with it; then once more."""
    device = await world.unowned()
    photo = await device.next_code()
    async with world.guest(device) as owner, world.guest(device) as thief:
        statuses = [await _half_open(thief, photo.username) for _ in range(2 * MAX_HALF_OPEN)]
        assert set(statuses) == {Status.SUCCESS}
        visit = await owner.enter(photo.username, photo.pop)
        await _half_open(thief, photo.username)
        assert (await visit.hello()).device_id == device.device_id
    assert len(device.events("session_proven")) == 1


async def _half_open(guest: Guest, username: str) -> Status:
    handshake = ClientHandshake.start(PROVISIONING_SUITE, username=username, password="", random=os.urandom)
    command = session.Command0(username, handshake.client_public)
    answer = await guest.send(Request("prov-session", session.encode_command(command)))
    return session.decode_response0(answer.content).status


@contextlib.asynccontextmanager
async def _siege(world: World, device: Device, photo: PossessionQr) -> AsyncIterator[list[str]]:
    """Four stations that fail on purpose for as long as this is entered: what they were refused with."""
    refusals: list[str] = []

    async def guess(guest: Guest) -> None:
        await guest.enter(crockford.encode(os.urandom(CODE_ID_BYTES)), crockford.encode(os.urandom(CODE_BYTES)))

    async def spend_the_photo(guest: Guest) -> None:
        await guest.enter(photo.username, photo.pop)

    async def leave_half_open(guest: Guest) -> None:
        unknown = [crockford.encode(os.urandom(CODE_ID_BYTES)) for _ in range(MAX_HALF_OPEN)]
        for username in [photo.username, *unknown]:
            refusals.append((await _half_open(guest, username)).name)

    async def hold_connections(guest: Guest) -> None:
        held: list[asyncio.StreamWriter] = []
        try:
            for _ in range(2 * MAX_CONNECTIONS):
                held.append((await guest.network.open_connection(*ACCESS_POINT))[1])
            await asyncio.sleep(0.5)
        finally:
            for writer in held:
                writer.transport.abort()

    async def attack(way: Callable[[Guest], Awaitable[None]]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                try:
                    async with world.guest(device) as guest:
                        while True:
                            try:
                                await way(guest)
                            except (WrongCode, Throttled) as error:
                                refusals.append(error.code)
                            await asyncio.sleep(0.02)
                except AdmittanceError:
                    await asyncio.sleep(0.05)

    ways = (guess, spend_the_photo, leave_half_open, hold_connections)
    tasks = [asyncio.create_task(attack(way)) for way in ways]
    try:
        yield refusals
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
