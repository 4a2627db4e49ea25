"""T06. Means: a ticket, a nonce, a credential challenge with its secret, or a whole request, taken from a device on
its way; another device with a TPM. Goal: enrol with them, or enrol twice.
"""

import asyncio

import pytest

from admittance.wire import message
from admittance.wire.enrolment import Enrolled as Issued
from tests.attack.site import code_of
from tests.attack.tpm_site import TpmSite

RACERS = 200


async def test_a_ticket_is_of_no_use_to_another_tpm(tpms: TpmSite) -> None:
    victim, thief, owner = tpms.device(), tpms.device(), await tpms.site.somebody("owner")
    ticket = (await tpms.site.claim(owner, victim)).ticket
    await tpms.site.claim(await tpms.site.somebody("thief"), thief)
    refused = await tpms.site.hand_in(await tpms.request(thief, ticket))
    assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
    assert await tpms.enrol(victim, ticket)


async def test_a_challenge_is_of_no_use_to_another_device(tpms: TpmSite) -> None:
    victim, thief = tpms.device(), tpms.device()
    ticket = (await tpms.site.claim(await tpms.site.somebody("thief"), thief)).ticket
    stolen = await tpms.proof(victim)
    refused = await tpms.site.hand_in(await tpms.request(thief, ticket, proof=stolen))
    assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")


async def test_a_replayed_request_gives_the_thief_nothing_new(tpms: TpmSite) -> None:
    device = tpms.device()
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), device)).ticket
    request = await tpms.request(device, ticket)
    answers = [await tpms.site.hand_in(request) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({message.decode(answer.content, Issued, max_bytes=8192).chain[0] for answer in answers}) == 1


@pytest.mark.parametrize("shared", ["ticket", "nonce", "challenge"])
async def test_of_200_uses_at_once_one_wins(tpms: TpmSite, shared: str) -> None:
    """Eight keys, each asking 25 times; the requests have only the ticket, the nonce or the challenge in common."""
    device = tpms.device()
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), device)).ticket
    if shared != "ticket":
        await tpms.enrol(device, ticket)
        ticket = b""
    nonce, proof = await tpms.site.nonce(device.device_id), await tpms.proof(device)
    requests = []
    for _ in range(8):
        own_nonce = nonce if shared == "nonce" else await tpms.site.nonce(device.device_id)
        own_proof = proof if shared == "challenge" else await tpms.proof(device)
        requests.append(device.attested_request(device.tpm.make_key(), own_nonce, own_proof, ticket))
    before = len(await tpms.site.rows("certificates"))
    answers = await asyncio.gather(*(tpms.site.hand_in(requests[number % 8]) for number in range(RACERS)))
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert sum(answer.is_success for answer in answers) == RACERS // 8
    assert {code_of(answer) for answer in answers if not answer.is_success} <= {"already_used", "ticket_used"}
    assert len(await tpms.site.rows("certificates")) == before + 1
