"""Login, password and SMS code at a device's keyboard."""

import pytest

from admittance.errors import AlreadyUsed, AuthenticationFailed, Expired, Throttled
from admittance.server.enrolment.factors.model import LOGIN_TTL_S
from tests.unit.server.enrolment.factors.factor_world import PASSWORD, FactorWorld, factor


async def test_login_password_and_sms_enrol_a_device_without_a_phone_app(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    device = world.device("panel")
    await world.take(device)
    ticket = await world.log_in(device)
    issued = await world.enrol(device, ticket, factor=factor("sms", await world.sms_code()))
    proven = await world.services.devices.authenticate(issued.certificate)
    assert (proven.account_id, proven.epoch) == ("ann", 1)
    assert "a code by SMS" in (await world.mails())[-1][2]
    events = [event for event, _ in await world.audited()]
    assert {"device_login.started", "device.activated", "device.enrolled"} <= set(events)
    assert (await world.enrol(device)).is_new


async def test_a_one_time_password_is_the_alternative(world: FactorWorld) -> None:
    owner = await world.owner()
    app = await world.totp(owner)
    device = world.device("panel")
    await world.take(device)
    ticket = await world.log_in(device)
    assert (await world.enrol(device, ticket, factor=factor("totp", app.at(int(world.clock()))))).is_new


async def test_a_password_alone_binds_nothing(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    device = world.device("panel")
    await world.take(device)
    ticket = await world.log_in(device)
    for wrong in (None, factor("sms", "00000000"), factor("code", "AAAA-AAAA")):
        with pytest.raises(AuthenticationFailed) as refused:
            await world.enrol(device, ticket, factor=wrong)
        assert refused.value.code == "authentication_failed"
    assert await world.services.fleet.list(owner) == []
    device.epoch = 0
    await world.onboard(await world.account("bob"), device)


async def test_right_and_wrong_logins_look_alike(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    device = world.device("panel")
    await world.take(device)
    sent = len(await world.messages())
    nonces = [world.services.enrolments.nonce(device.device_id)[0] for _ in range(3)]
    logins = world.services.factors.logins
    answers = [
        await logins.start(device.login(nonces[0], "ann@example.org", "wrong"), "a"),
        await logins.start(device.login(nonces[1], "nobody@example.org", "wrong"), "a"),
        await logins.start(device.login(nonces[2], "ann@example.org", PASSWORD), "a"),
    ]
    assert {(answer.epoch, answer.server_time, len(answer.ticket)) for answer in answers} == {
        (1, int(world.clock()), 32)
    }
    assert len(await world.messages()) == sent + 1
    device.epoch = 1
    errors = set()
    for answer in answers:
        with pytest.raises(AuthenticationFailed) as refused:
            await world.enrol(device, answer.ticket, factor=factor("sms", "00000000"))
        errors.add((refused.value.code, str(refused.value)))
    assert len(errors) == 1


async def test_only_a_device_with_a_keyboard_may(world: FactorWorld) -> None:
    await world.phone(await world.owner())
    device = world.device("lamp")
    await world.take(device)
    sent = len(await world.messages())
    ticket = await world.log_in(device)
    assert len(await world.messages()) == sent
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket, factor=factor("sms", "00000000"))


async def test_a_login_is_throttled_like_any_other(world: FactorWorld) -> None:
    await world.owner()
    device = world.device("panel")
    await world.take(device)
    for _ in range(5):
        await world.log_in(device, "wrong")
        device.epoch = 0
    with pytest.raises(Throttled):
        await world.log_in(device)


async def test_a_login_ends_after_ten_minutes_and_counts_against_the_quota(world: FactorWorld) -> None:
    owner = await world.owner(quota=1)
    await world.phone(owner)
    device, other = world.device("panel"), world.device("panel")
    await world.take(device, other)
    ticket = await world.log_in(device)
    code = await world.sms_code()
    world.clock.pass_s(LOGIN_TTL_S)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket, factor=factor("sms", code))
    device.epoch = 0
    ticket = await world.log_in(device)
    await world.enrol(device, ticket, factor=factor("sms", await world.sms_code()))
    world.clock.pass_s(60)
    ticket = await world.log_in(other)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(other, ticket, factor=factor("sms", await world.sms_code()))


async def test_another_account_s_device_stays_it_s(world: FactorWorld) -> None:
    await world.phone(await world.owner())
    device = world.device("panel")
    await world.take(device)
    await world.onboard(await world.account("bob"), device)
    sent = len(await world.messages())
    ticket = await world.log_in(device)
    assert len(await world.messages()) == sent
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket, factor=factor("sms", "00000000"))


async def test_a_nonce_is_good_for_one_login(world: FactorWorld) -> None:
    await world.owner()
    device = world.device("panel")
    await world.take(device)
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    signed = device.login(nonce, "ann@example.org", PASSWORD)
    await world.services.factors.logins.start(signed, "a")
    with pytest.raises(AlreadyUsed):
        await world.services.factors.logins.start(signed, "a")
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    world.clock.pass_s(300)
    with pytest.raises(Expired):
        await world.services.factors.logins.start(device.login(nonce, "ann@example.org", PASSWORD), "a")
    stranger = world.device("panel")
    with pytest.raises(AuthenticationFailed):
        await world.log_in(stranger)
