"""Enrolments that need a second factor, and what they get without it."""

import pytest

from admittance.errors import (
    AppNotTrusted,
    ApprovalPending,
    AuthenticationFailed,
    Conflict,
    FactorRefused,
    FactorRequired,
    NotFound,
    Throttled,
    TicketUsed,
)
from admittance.server.enrolment.factors.model import TRIES
from admittance.server.enrolment.model import AuthenticatedDevice
from tests.unit.server.enrolment.factors.factor_world import FactorWorld, factor
from tests.unit.server.enrolment.test_enrolment import new_key


async def test_without_a_factor_nothing_is_issued_and_nothing_is_used_up(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    with pytest.raises(FactorRequired) as required:
        await world.enrol(device, ticket)
    assert required.value.kinds == ("code", "totp", "sms", "approval")
    code = await world.settings.code_for_app(owner)
    assert (await world.enrol(device, ticket, factor=factor("code", code.code))).is_new


async def test_a_model_that_asks_for_nothing_enrols_without(world: FactorWorld) -> None:
    device, ticket = await world.waiting(await world.owner(), "lamp")
    assert (await world.enrol(device, ticket)).is_new


async def test_the_mail_and_the_decision_tell_the_factor(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    code = await world.settings.code_for_app(owner)
    await world.enrol(device, ticket, factor=factor("code", code.code))
    assert "Second factor: an enrolment code" in (await world.mails())[-1][2]
    shown = await world.services.fleet.show(owner, device.device_id)
    assert shown.certificate is not None
    assert '"factor":"code"' in shown.certificate.decision


async def test_a_code_of_an_enrolled_device_lets_one_more_in(world: FactorWorld) -> None:
    owner = await world.owner()
    first, ticket = await world.waiting(owner, "lamp")
    await world.enrol(first, ticket)
    code = await world.settings.code_for_device(AuthenticatedDevice(first.device_id, "ann", first.epoch, 0))
    device, ticket = await world.waiting(owner)
    typed = code.code.lower().replace("-", " ")
    assert (await world.enrol(device, ticket, factor=factor("code", typed))).is_new
    other, ticket = await world.waiting(owner)
    with pytest.raises(FactorRefused):
        await world.enrol(other, ticket, factor=factor("code", code.code))


async def test_the_same_request_again_gets_the_same_certificate_and_costs_nothing(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    code, key = await world.settings.code_for_app(owner), new_key()
    first = await world.enrol(device, ticket, key, factor("code", code.code))
    again = await world.enrol(device, ticket, key, factor("code", code.code))
    without = await world.enrol(device, ticket, key)
    assert first.certificate == again.certificate == without.certificate
    with pytest.raises(TicketUsed):
        await world.enrol(device, ticket, factor=factor("code", code.code))


async def test_a_code_ends_after_ten_minutes(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    code = await world.settings.code_for_app(owner)
    world.clock.pass_s(600)
    with pytest.raises(FactorRefused):
        await world.enrol(device, ticket, factor=factor("code", code.code))


async def test_a_code_is_for_its_account(world: FactorWorld) -> None:
    await world.owner()
    code = await world.settings.code_for_app(await world.owner("bob"))
    ann = await world.account("eve")
    device, ticket = await world.waiting(ann)
    with pytest.raises(FactorRefused):
        await world.enrol(device, ticket, factor=factor("code", code.code))


async def test_after_five_wrong_tries_the_right_one_comes_too_late(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    code = await world.settings.code_for_app(owner)
    for _ in range(TRIES):
        with pytest.raises(FactorRefused):
            await world.enrol(device, ticket, factor=factor("code", "AAAA-AAAA"))
    with pytest.raises(FactorRefused):
        await world.enrol(device, ticket, factor=factor("code", code.code))
    other, other_ticket = await world.waiting(owner)
    assert (await world.enrol(other, other_ticket, factor=factor("code", code.code))).is_new
    world.clock.pass_s(600)
    code = await world.settings.code_for_app(owner)
    assert (await world.enrol(device, ticket, factor=factor("code", code.code))).is_new


async def test_all_wrong_factors_look_alike(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.totp(owner)
    device, ticket = await world.waiting(owner)
    seen = set()
    for wrong in (factor("code", "AAAA-AAAA"), factor("code", "?"), factor("totp", "000000"), factor("sms", "1" * 8)):
        with pytest.raises(FactorRefused) as refused:
            await world.enrol(device, ticket, factor=wrong)
        seen.add((refused.value.code, str(refused.value)))
    assert len(seen) == 1


async def test_a_leaked_password_makes_no_code_and_approves_nothing(world: FactorWorld) -> None:
    owner = await world.owner()
    thief = world.stranger()
    device, ticket = await world.waiting(owner, "gate")
    with pytest.raises(ApprovalPending):
        await world.enrol(device, ticket)
    with pytest.raises(AppNotTrusted):
        await world.settings.code_for_app(thief)
    with pytest.raises(AppNotTrusted):
        await world.settings.decide(thief, device.device_id, approve=True)
    with pytest.raises(AppNotTrusted):
        await world.settings.begin_totp(thief)
    with pytest.raises(AppNotTrusted):
        await world.settings.set_phone(thief, "+491700000000")
    with pytest.raises(AppNotTrusted):
        await world.settings.require(thief, ())
    with pytest.raises(ApprovalPending):
        await world.enrol(device, ticket)


async def test_a_new_app_is_trusted_for_a_second_factor(world: FactorWorld) -> None:
    owner = await world.owner()
    app = await world.totp(owner)
    new_app = world.stranger()
    with pytest.raises(FactorRefused):
        await world.settings.trust_app(new_app, factor("totp", "000000"))
    assert await world.settings.trust_app(new_app, factor("totp", app.at(int(world.clock()))))
    assert (await world.settings.code_for_app(new_app)).code
    assert (await world.settings.status(new_app)).trusted


async def test_whoever_asks_for_codes_has_five_open_ones(world: FactorWorld) -> None:
    owner = await world.owner()
    for _ in range(5):
        await world.settings.code_for_app(owner)
    with pytest.raises(Throttled):
        await world.settings.code_for_app(owner)
    device, ticket = await world.waiting(owner, "lamp")
    await world.enrol(device, ticket)
    assert (await world.settings.code_for_device(AuthenticatedDevice(device.device_id, "ann", device.epoch, 0))).code


async def test_a_one_time_password_enrols_once(world: FactorWorld) -> None:
    owner = await world.owner()
    app = await world.totp(owner)
    typed = app.at(int(world.clock()))
    device, ticket = await world.waiting(owner)
    assert (await world.enrol(device, ticket, factor=factor("totp", typed))).is_new
    other, other_ticket = await world.waiting(owner)
    with pytest.raises(FactorRefused):
        await world.enrol(other, other_ticket, factor=factor("totp", typed))
    with pytest.raises(FactorRefused):
        await world.enrol(other, other_ticket, factor=factor("totp", app.at(int(world.clock()) - 30)))
    world.clock.pass_s(30)
    assert (await world.enrol(other, other_ticket, factor=factor("totp", app.at(int(world.clock()))))).is_new


async def test_an_unconfirmed_authenticator_app_counts_for_nothing(world: FactorWorld) -> None:
    import pyotp

    owner = await world.owner()
    uri = await world.settings.begin_totp(owner)
    assert uri.startswith("otpauth://totp/")
    app = pyotp.parse_uri(uri)
    device, ticket = await world.waiting(owner)
    with pytest.raises(FactorRefused):
        await world.enrol(device, ticket, factor=factor("totp", app.at(int(world.clock()))))
    await world.settings.begin_totp(owner)
    with pytest.raises(NotFound):
        await world.settings.remove_phone(owner)
    await world.settings.remove_totp(owner)


async def test_an_sms_code_is_sent_on_demand_and_for_one_device(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    device, ticket = await world.waiting(owner)
    with pytest.raises(FactorRequired):
        await world.enrol(device, ticket, factor=factor("sms"))
    code = await world.sms_code()
    other, other_ticket = await world.waiting(owner)
    with pytest.raises(FactorRefused):
        await world.enrol(other, other_ticket, factor=factor("sms", code))
    assert (await world.enrol(device, ticket, factor=factor("sms", code))).is_new
    number, text = (await world.messages())[-1]
    assert (number, device.device_id in text) == ("+491701234567", True)


async def test_messages_are_rationed(world: FactorWorld) -> None:
    owner = await world.owner()
    await world.phone(owner)
    device, ticket = await world.waiting(owner)
    for _ in range(10):
        with pytest.raises(FactorRequired):
            await world.enrol(device, ticket, factor=factor("sms"))
        world.clock.pass_s(31)
    assert len(await world.messages()) == 1 + 3


async def test_the_owner_approves(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner, "gate")
    for _ in range(3):
        with pytest.raises(ApprovalPending):
            await world.enrol(device, ticket)
    [pending] = await world.settings.pending(owner)
    assert (pending.device_id, pending.source) == (device.device_id, "192.0.2.7")
    assert [subject for _, subject, _ in await world.mails()].count("Approve a device? gate") == 1
    await world.settings.decide(owner, device.device_id, approve=True)
    assert (await world.enrol(device, ticket)).is_new
    assert await world.settings.pending(owner) == []
    with pytest.raises(NotFound):
        await world.settings.decide(owner, device.device_id, approve=True)


@pytest.mark.parametrize("decided", [False, True])
async def test_a_device_that_enrols_by_a_code_waits_for_no_approval(world: FactorWorld, decided: bool) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    with pytest.raises(FactorRequired):
        await world.enrol(device, ticket)
    if decided:
        await world.settings.decide(owner, device.device_id, approve=True)
    code = await world.settings.code_for_app(owner)
    await world.enrol(device, ticket, factor=factor("code", code.code))
    assert await world.settings.pending(owner) == []
    with pytest.raises(NotFound):
        await world.settings.decide(owner, device.device_id, approve=True)


async def test_a_denied_device_has_lost_its_ticket(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner, "gate")
    with pytest.raises(ApprovalPending):
        await world.enrol(device, ticket)
    await world.settings.decide(owner, device.device_id, approve=False)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket)


async def test_an_account_asks_for_more_than_the_model(world: FactorWorld) -> None:
    owner = await world.owner()
    with pytest.raises(Conflict):
        await world.settings.require(owner, ("totp",))
    app = await world.totp(owner)
    await world.settings.require(owner, ("totp",))
    lamp, ticket = await world.waiting(owner, "lamp")
    with pytest.raises(FactorRequired) as required:
        await world.enrol(lamp, ticket)
    assert required.value.kinds == ("totp",)
    assert (await world.enrol(lamp, ticket, factor=factor("totp", app.at(int(world.clock()))))).is_new
    safe, ticket = await world.waiting(owner)
    code = await world.settings.code_for_app(owner)
    with pytest.raises(FactorRequired) as required:
        await world.enrol(safe, ticket, factor=factor("code", code.code))
    assert required.value.kinds == ("totp",)


async def test_renewing_and_enrolling_again_need_no_factor(world: FactorWorld) -> None:
    owner = await world.owner()
    device, ticket = await world.waiting(owner)
    code = await world.settings.code_for_app(owner)
    await world.enrol(device, ticket, factor=factor("code", code.code))
    assert (await world.enrol(device)).is_new
    world.clock.pass_s(400 * 86_400)
    assert (await world.enrol(device)).is_new
