"""T19. Means: genuine devices that wait for a second factor, and codes seen over a shoulder. Goal: enrol one of them,
or keep the owner from enrolling.
"""

import asyncio
import secrets

import pytest_asyncio

from admittance.wire import crockford
from admittance.wire.enrolment import Factor
from tests.attack.factor_site import FactorSite, Person
from tests.attack.site import code_of, new_key, seen


@pytest_asyncio.fixture(loop_scope="session")
async def owner(at: FactorSite) -> Person:
    return await at.person()


def guess() -> Factor:
    return Factor("code", crockford.encode(secrets.token_bytes(5)))


async def test_guessing_ends_after_five_tries_and_hurts_the_guesser_alone(at: FactorSite, owner: Person) -> None:
    """The attacker's device waits for the same account, and its failures are on purpose."""
    hostile, mine = at.take(), at.take()
    hostile_ticket = (await at.site.claim(owner.login, hostile)).ticket
    my_ticket = (await at.site.claim(owner.login, mine)).ticket
    code = Factor("code", await at.code(owner))
    refused = [await at.enrol(hostile, hostile_ticket, guess()) for _ in range(5)]
    late = await at.enrol(hostile, hostile_ticket, code)
    assert {code_of(answer) for answer in refused} == {"factor_refused"}
    assert {seen(answer) for answer in refused} == {seen(late)}
    assert (await at.enrol(mine, my_ticket, code)).status_code == 201


async def test_a_used_code_is_good_for_nobody_else(at: FactorSite, owner: Person) -> None:
    mine, hostile = at.take(), at.take()
    code, key = Factor("code", await at.code(owner)), new_key()
    ticket = (await at.site.claim(owner.login, mine)).ticket
    hostile_ticket = (await at.site.claim(owner.login, hostile)).ticket
    first = await at.enrol(mine, ticket, code, key)
    again = await at.enrol(mine, ticket, code, key)
    assert (first.status_code, again.status_code) == (201, 200)
    used = await at.enrol(hostile, hostile_ticket, code)
    invented = await at.enrol(hostile, hostile_ticket, guess())
    assert code_of(used) == "factor_refused"
    assert seen(used) == seen(invented)


async def test_a_code_is_worth_nothing_to_another_account(at: FactorSite, owner: Person) -> None:
    other, device = await at.person(), at.take()
    ticket = (await at.site.claim(other.login, device)).ticket
    code = Factor("code", await at.code(owner))
    stolen = await at.enrol(device, ticket, code)
    invented = await at.enrol(device, ticket, guess())
    assert code_of(stolen) == "factor_refused"
    assert seen(stolen) == seen(invented)
    mine = at.take()
    ticket = (await at.site.claim(owner.login, mine)).ticket
    assert (await at.enrol(mine, ticket, code)).status_code == 201


async def test_of_twelve_devices_that_race_for_one_code_one_wins(at: FactorSite, owner: Person) -> None:
    devices = [at.take() for _ in range(12)]
    tickets = [(await at.site.claim(owner.login, device)).ticket for device in devices]
    code = Factor("code", await at.code(owner))
    answers = await asyncio.gather(
        *(at.enrol(device, ticket, code) for device, ticket in zip(devices, tickets, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 11


async def test_a_code_does_not_make_up_for_a_missing_ticket(at: FactorSite, owner: Person) -> None:
    device = at.take()
    code = Factor("code", await at.code(owner))
    refused = await at.enrol(device, secrets.token_bytes(32), code)
    assert code_of(refused) == "authentication_failed"
    ticket = (await at.site.claim(owner.login, device)).ticket
    assert (await at.enrol(device, ticket, code)).status_code == 201


async def test_the_database_holds_no_code(at: FactorSite, owner: Person) -> None:
    code = (await at.code(owner)).replace("-", "")
    await at.give_phone(owner)
    digits = at.messages()[-1]["text"].split(": ")[1][:8]
    for _, row in await at.site.rows("enrolment_codes", "sms_codes", "sms_outbox", "phones", "audit"):
        for value in row:
            stored = value if isinstance(value, bytes) else str(value).encode()
            assert not any(secret.encode() in stored for secret in (code, digits, "+491701234567"))


async def test_codes_cannot_be_made_without_end(at: FactorSite, owner: Person) -> None:
    """The more codes are open, the better a guess; so whoever makes them has five."""
    answers = [await owner.login.send("POST", "/api/enrolment-codes") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 3
