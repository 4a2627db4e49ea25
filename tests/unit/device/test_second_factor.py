"""What the agent remembers of a second factor."""

import asyncio

import pytest

from admittance.device.second_factor import SecondFactor
from admittance.errors import ServerRefused
from admittance.wire.enrolment import Factor

CODE = Factor("code", "7F3K9Q2M")


def refusal(reason: str, *kinds: str) -> ServerRefused:
    return ServerRefused(reason, "Refused.", kinds)


async def test_what_is_given_wakes_whoever_waits() -> None:
    factor = SecondFactor()
    waiting = asyncio.create_task(factor.given_within(3600))
    await asyncio.sleep(0)
    factor.give(CODE)
    await waiting
    assert factor.given == CODE
    await factor.given_within(0)


async def test_a_refused_factor_is_forgotten_and_the_kinds_are_kept() -> None:
    factor = SecondFactor()
    factor.answered(refusal("factor_required", "code", "totp"), None)
    assert (factor.cause, factor.kinds) == ("factor_required", ("code", "totp"))
    factor.give(CODE)
    assert factor.cause == ""
    factor.answered(refusal("factor_refused"), CODE)
    assert (factor.cause, factor.kinds, factor.given) == ("factor_refused", ("code", "totp"), None)
    factor.answered(None, None)
    assert (factor.cause, factor.kinds) == ("", ())


@pytest.mark.parametrize("reason", ["expired", "already_used"])
async def test_a_request_that_was_too_old_does_not_cost_the_factor(reason: str) -> None:
    factor = SecondFactor()
    factor.give(CODE)
    factor.answered(refusal(reason), CODE)
    assert factor.given == CODE


@pytest.mark.parametrize(("sent", "reason"), [(None, "factor_required"), (Factor("code", "0000"), "factor_refused")])
async def test_what_is_given_while_a_request_is_under_way_goes_out_next(sent: Factor | None, reason: str) -> None:
    factor = SecondFactor()
    factor.give(CODE)
    factor.answered(refusal(reason, "code"), sent)
    assert (factor.cause, factor.given) == ("", CODE)
    await factor.given_within(3600)


async def test_after_a_login_every_refusal_says_the_same() -> None:
    factor = SecondFactor()
    factor.give(CODE)
    factor.answered(refusal("authentication_failed"), CODE, after_login=True)
    assert (factor.cause, factor.given) == ("factor_refused", None)
