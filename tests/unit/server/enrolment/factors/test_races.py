"""What is good once, used 200 times at once: exactly one wins."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.enrolment.factors import store
from admittance.wire.enrolment import Factor
from tests.unit.server.enrolment.factors.factor_world import FactorWorld, factor

AT_ONCE = 200


async def racing(world: FactorWorld, attempt: Callable[[AsyncConnection, int], Awaitable[bool]]) -> int:
    """How many of the attempts, each in a transaction of its own, succeed."""

    async def one(number: int) -> bool:
        async with world.database.transaction() as connection:
            return await attempt(connection, number)

    return sum(await asyncio.gather(*(one(number) for number in range(AT_ONCE))))


async def used(world: FactorWorld, what: Factor, bound_to: Callable[[int], str]) -> int:
    factors, now = world.services.factors.factors, world.clock()

    async def attempt(connection: AsyncConnection, number: int) -> bool:
        return await factors.use(connection, "ann", bound_to(number), what, now)

    return await racing(world, attempt)


async def test_one_enrolment_code(world: FactorWorld) -> None:
    code = await world.settings.code_for_app(await world.owner())
    assert await used(world, factor("code", code.code), lambda number: f"device:{number}") == 1


async def test_one_enrolment_code_by_the_same_device(world: FactorWorld) -> None:
    code = await world.settings.code_for_app(await world.owner())
    assert await used(world, factor("code", code.code), lambda _: "device:one") == 1


async def test_one_time_step(world: FactorWorld) -> None:
    app = await world.totp(await world.owner())
    typed = app.at(int(world.clock()))
    assert await used(world, factor("totp", typed), lambda number: f"device:{number}") == 1


async def test_one_sms_code(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    async with world.database.transaction() as connection:
        assert await world.settings.sms.send(connection, "ann", "device:one", "enrol", world.clock())
    code = await world.sms_code()
    assert await used(world, factor("sms", code), lambda _: "device:one") == 1


async def test_one_approval(world: FactorWorld) -> None:
    owner = await world.owner()
    device, _ = await world.waiting(owner, "gate")
    now = int(world.clock())
    async with world.database.transaction() as connection:
        await store.ask_approval(connection, device.registry_key, "ann", 1, "a", now + 60, now)
    await world.settings.decide(owner, device.device_id, approve=True)

    async def attempt(connection: AsyncConnection, _: int) -> bool:
        return await store.use_approval(connection, device.registry_key, "ann", 1, now)

    assert await racing(world, attempt) == 1


async def test_tries_are_counted_exactly(world: FactorWorld) -> None:
    async def attempt(connection: AsyncConnection, _: int) -> bool:
        return await store.admit_try(connection, "bucket", 5, 60, int(world.clock()))

    assert await racing(world, attempt) == 5


@pytest.mark.parametrize("devices", [8])
async def test_one_code_in_whole_enrolments_of_many_devices(world: FactorWorld, devices: int) -> None:
    owner = await world.owner()
    waiting = [await world.waiting(owner) for _ in range(devices)]
    code = await world.settings.code_for_app(owner)
    answers = await asyncio.gather(
        *(world.enrol(device, ticket, factor=factor("code", code.code)) for device, ticket in waiting),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
