"""T22. Means: what a device, or whoever has it, got before its access ended and did not use yet: enrolment codes that
it made, the owner's word for it, an SMS code and a login at its keyboard. Goal: a certificate, for it or for another
device.
"""

import asyncio
from dataclasses import dataclass

import httpx
import pytest

from admittance.wire import message
from admittance.wire.enrolment import Factor
from admittance.wire.factors import MadeCode
from tests.attack.factor_site import PANEL, FactorSite, Person
from tests.attack.nodes import Nodes
from tests.attack.site import CBOR, code_of
from tests.device_world import FakeDevice

MAKE_CODE = "/device/enrolment-codes"
ASK = Factor("approval", "")
CONTENT = {"revoke": {"reason": "gone"}, "decommission": {"reason": "gone"}}


async def end(at: FactorSite, person: Person, device: FakeDevice, ending: str) -> None:
    """Let the owner, or the device itself, end its access."""
    if ending == "reset":
        device.resets += 1
        report = device.reset_report(await at.site.nonce(device.device_id))
        answer = await at.site.device_side.post("/enrolment/resets", content=report, headers=CBOR)
        assert answer.status_code == 204, answer.text
        return
    await person.login.ask("POST", f"/api/devices/{device.device_id}/{ending}", CONTENT.get(ending))


@dataclass
class Voucher:
    """An enrolled device with connections to every node."""

    person: Person
    device: FakeDevice
    held: tuple[httpx.AsyncClient, ...]

    async def codes(self) -> list[str]:
        """A code from each node."""
        answers = [await http.post(MAKE_CODE) for http in self.held]
        assert {answer.status_code for answer in answers} == {201}
        return [message.decode(answer.content, MadeCode).code for answer in answers]

    async def refused(self) -> set[str]:
        return {code_of(await http.post(MAKE_CODE)) for http in self.held}


async def voucher(at: FactorSite, nodes: Nodes) -> Voucher:
    person, device = await at.person(), at.take()
    enrolment = await at.onboard(person, device)
    held = tuple(at.site.as_device(enrolment.key, enrolment.chain, each.device) for each in nodes.ports)
    return Voucher(person, device, held)


@pytest.mark.parametrize("ending", ["revoke", "release", "stolen", "decommission", "reset", "lost"])
async def test_the_codes_that_a_device_made_end_with_its_access(at: FactorSite, nodes: Nodes, ending: str) -> None:
    """A lost one goes on working, but vouches for nobody."""
    old, new = await voucher(at, nodes), at.take()
    ticket, codes = (await at.site.claim(old.person.login, new)).ticket, await old.codes()
    await end(at, old.person, old.device, ending)
    for code in codes:
        for http in nodes.first_contacts:
            assert code_of(await at.enrol(new, ticket, Factor("code", code), http=http)) == "factor_refused"
    assert await old.refused() == ({"not_allowed"} if ending == "lost" else {"authentication_failed"})
    assert (await at.enrol(new, ticket, Factor("code", await at.code(old.person)))).status_code == 201


@pytest.mark.parametrize("reported", ["lost", "stolen"])
async def test_a_device_that_was_found_gets_nothing_back(at: FactorSite, nodes: Nodes, reported: str) -> None:
    old, new = await voucher(at, nodes), at.take()
    ticket, codes = (await at.site.claim(old.person.login, new)).ticket, await old.codes()
    await end(at, old.person, old.device, reported)
    await end(at, old.person, old.device, "found")
    for code in codes:
        assert code_of(await at.enrol(new, ticket, Factor("code", code))) == "factor_refused"
    if reported == "stolen":
        assert await old.refused() == {"authentication_failed"}
        assert code_of(await at.enrol(old.device, b"", http=nodes.first_contact)) == "authentication_failed"
        return
    assert (await at.enrol(new, ticket, Factor("code", (await old.codes())[-1]))).status_code == 201


async def test_a_code_made_during_the_ending_is_worth_nothing(at: FactorSite, nodes: Nodes) -> None:
    """Whichever comes first."""
    old, new = await voucher(at, nodes), at.take()
    ticket = (await at.site.claim(old.person.login, new)).ticket
    asked = [http.post(MAKE_CODE) for http in old.held * 2]
    _, *answers = await asyncio.gather(end(at, old.person, old.device, "stolen"), *asked)
    for answer in answers:
        if answer.status_code == 201:
            code = Factor("code", message.decode(answer.content, MadeCode).code)
            assert code_of(await at.enrol(new, ticket, code)) == "factor_refused"
        else:
            assert answer.status_code in (401, 403), answer.text


@pytest.mark.parametrize("is_approved", [False, True], ids=["asked", "approved"])
@pytest.mark.parametrize("ending", ["revoke", "release", "decommission", "reset"])
async def test_the_owners_word_ends_with_what_it_was_asked_for(
    at: FactorSite, nodes: Nodes, ending: str, is_approved: bool
) -> None:
    person, device = await at.person(), at.take()
    owner, path = person.login, f"/api/enrolments/{device.device_id}/approve"
    ticket = (await at.site.claim(owner, device)).ticket
    assert code_of(await at.enrol(device, ticket, ASK)) == "approval_pending"
    if is_approved:
        await owner.ask("POST", path)
    await end(at, person, device, ending)
    for people in (owner.http, nodes.people):
        pending = await owner.send("GET", "/api/enrolments/pending", http=people)
        assert pending.json() == {"enrolments": []}
        assert (await owner.send("POST", path, http=people)).status_code == 404
    for http in nodes.first_contacts:
        assert code_of(await at.enrol(device, ticket, ASK, http=http)) == "authentication_failed"
    if ending in ("reset", "release"):
        anew = (await at.site.claim(owner, device)).ticket
        assert code_of(await at.enrol(device, anew, ASK)) == "approval_pending"


@pytest.mark.parametrize("by_operator", [False, True], ids=["reset", "decommission"])
async def test_a_login_at_the_keyboard_ends(at: FactorSite, nodes: Nodes, by_operator: bool) -> None:
    person, device = await at.person(), at.take(PANEL)
    await at.give_phone(person)
    before = len(at.messages())
    started = await at.log_in_at(device, person.email, person.password)
    device.epoch = started.epoch
    code = Factor("sms", await at.sms_code(before))
    await end(at, Person(await at.site.operator()), device, "decommission" if by_operator else "reset")
    for http in nodes.first_contacts:
        refused = await at.enrol(device, started.ticket, code, http=http)
        assert code_of(refused) == "authentication_failed"
