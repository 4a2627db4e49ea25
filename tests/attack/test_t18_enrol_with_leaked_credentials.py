"""T18. Means: an account's address and password, and genuine devices of the attacker's own. Goal: enrol one of them.

The attacker can log in, and bind a device that stands before them. The second factor is what they do not have, so
whatever could stand in for it must not rest on the password either.
"""

import pytest
import pytest_asyncio

from admittance.wire.enrolment import Factor
from tests.attack.factor_site import NUMBER, PANEL, FactorSite, Person
from tests.attack.site import Login, code_of, seen


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def thief(at: FactorSite, victim: Person) -> Login:
    """Whoever logged in with the leaked password."""
    return await at.thief(victim)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(at: FactorSite) -> Person:
    """The owner of one enrolled device, with a phone."""
    person = await at.person()
    await at.give_phone(person)
    await at.onboard(person, at.take())
    return person


async def test_the_control_is_enrolled(at: FactorSite, victim: Person) -> None:
    assert await at.onboard(victim, at.take())


async def test_a_device_of_the_attacker_s_gets_no_certificate(at: FactorSite, victim: Person, thief: Login) -> None:
    device = at.take()
    ticket = (await at.site.claim(thief, device)).ticket
    before = await at.site.rows("certificates")
    refused = await at.enrol(device, ticket)
    assert (refused.status_code, code_of(refused)) == (403, "factor_required")
    assert refused.json()["factors"] == ["code", "totp", "approval"]
    for factor in (
        Factor("code", "0000-0000"),
        Factor("code", victim.password),
        Factor("totp", "000000"),
        Factor("sms", "00000000"),
        Factor("approval", ""),
        Factor("approval", "approved"),
    ):
        assert (await at.enrol(device, ticket, factor)).status_code in (401, 403)
    assert await at.site.rows("certificates") == before


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/api/enrolment-codes", None),
        ("PUT", "/api/account/factors", {"required": []}),
        ("POST", "/api/account/totp", None),
        ("POST", "/api/account/totp/confirm", {"code": "000000"}),
        ("DELETE", "/api/account/totp", None),
        ("PUT", "/api/account/phone", {"number": "+491709999999"}),
        ("POST", "/api/account/phone/confirm", {"code": "00000000"}),
        ("DELETE", "/api/account/phone", None),
    ],
)
async def test_a_password_makes_no_second_factor(thief: Login, method: str, path: str, content: object) -> None:
    refused = await thief.send(method, path, content)
    assert (refused.status_code, code_of(refused)) == (403, "app_not_trusted")


async def test_a_password_approves_nothing(at: FactorSite, victim: Person, thief: Login) -> None:
    device = at.take()
    ticket = (await at.site.claim(thief, device)).ticket
    assert code_of(await at.enrol(device, ticket, Factor("approval", ""))) == "approval_pending"
    refused = await thief.send("POST", f"/api/enrolments/{device.device_id}/approve")
    assert code_of(refused) == "app_not_trusted"
    assert code_of(await at.enrol(device, ticket, Factor("approval", ""))) == "approval_pending"
    pending = await victim.login.ask("GET", "/api/enrolments/pending")
    assert device.device_id in [each["device_id"] for each in pending["enrolments"]]
    await victim.login.ask("POST", f"/api/enrolments/{device.device_id}/deny")
    assert code_of(await at.enrol(device, ticket, Factor("approval", ""))) == "authentication_failed"


async def test_a_login_does_not_become_trusted_by_guessing(at: FactorSite) -> None:
    victim = await at.person()
    for number in range(12):
        if number % 4 == 0:
            thief = await at.thief(victim)
        content = {"kind": ("code", "totp", "sms")[number % 3], "value": f"{number:08}"}
        assert code_of(await thief.send("POST", "/api/account/trust", content)) == "factor_refused"
    assert code_of(await thief.send("POST", "/api/enrolment-codes")) == "app_not_trusted"
    assert await at.code(victim)


async def test_a_leaked_login_at_a_keyboard_only_tells_the_owner(at: FactorSite, victim: Person) -> None:
    device, before = at.take(PANEL), len(at.messages())
    started = await at.log_in_at(device, victim.email, victim.password)
    await at.sms_code(before)
    assert at.messages()[-1]["to"] == NUMBER
    assert device.device_id in at.messages()[-1]["text"]
    wrong = await at.log_in_at(device, victim.email, "not the password")
    unknown = await at.log_in_at(device, "nobody@example.org", victim.password)
    device.epoch = started.epoch
    assert started.epoch == wrong.epoch == unknown.epoch
    answers = [
        await at.enrol(device, login.ticket, factor)
        for login in (started, wrong, unknown)
        for factor in (None, Factor("sms", "00000000"), Factor("sms", ""), Factor("totp", "000000"))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({seen(answer) for answer in answers}) == 1
    owned = {row[1][1] for row in await at.site.rows("certificates")}
    assert device.device_id not in owned
    listed = await victim.login.ask("GET", "/api/devices")
    assert device.device_id not in [each["device_id"] for each in listed["devices"]]


async def test_the_owner_s_own_login_at_a_keyboard_works(at: FactorSite) -> None:
    """The control of the test before."""
    person, device = await at.person(), at.take(PANEL)
    await at.give_phone(person)
    before = len(at.messages())
    started = await at.log_in_at(device, person.email, person.password)
    device.epoch = started.epoch
    answer = await at.enrol(device, started.ticket, Factor("sms", await at.sms_code(before)))
    assert answer.status_code == 201, answer.text
