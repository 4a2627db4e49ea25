"""T06. Means: a ticket, copied off the device that it was made for. Goal: a certificate for something else.

The attacker has genuine devices and an account as well.
"""

import asyncio
import os
import time

import httpx
import pytest
from sqlalchemy import update

from admittance.protocol.enrolment.building import build_request
from admittance.server.activation.store import tickets
from tests.attack.site import LOCK, Site, code_of, enrolled, invented, new_key, seen
from tests.device_world import FakeDevice

AT_ONCE = 50


async def _refused_as_unknown(site: Site, answer: httpx.Response) -> None:
    """Refused, and in the same words as a ticket that never was."""
    stranger = site.certified()
    unknown = await site.enrol(stranger, os.urandom(32))
    assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    assert seen(answer) == seen(unknown)


async def _certificates(site: Site, device: FakeDevice) -> int:
    return sum(device.registry_key in row for _, row in await site.rows("certificates"))


@pytest.mark.parametrize("same_account", [True, False])
async def test_a_ticket_is_of_no_use_to_another_device(site: Site, same_account: bool) -> None:
    owner = await site.somebody("owner")
    device, other = site.take(), site.take()
    stolen = (await site.claim(owner, device)).ticket
    await site.claim(owner if same_account else await site.somebody("attacker"), other)
    await _refused_as_unknown(site, await site.enrol(other, stolen))
    assert await _certificates(site, other) == 0
    assert (await site.enrol(device, stolen)).status_code == 201


async def test_a_ticket_is_of_no_use_to_another_identity(site: Site) -> None:
    """The attacker names the device, and signs with another key; or asks as a device that nobody knows."""
    owner, device, attacker = await site.somebody("owner"), site.take(), invented()
    stolen = (await site.claim(owner, device)).ticket
    forged = build_request(
        attacker.identity,
        new_key(),
        nonce=await site.nonce(device.device_id),
        device_id=device.device_id,
        epoch=device.epoch,
        ticket=stolen,
    )
    answer = await site.hand_in(forged)
    assert (answer.status_code, await _certificates(site, device)) == (401, 0)
    attacker.epoch = device.epoch
    assert (await site.enrol(attacker, stolen)).status_code == 401
    assert (await site.enrol(device, stolen)).status_code == 201


async def test_a_used_ticket_is_of_no_use_with_another_key(site: Site) -> None:
    owner, device, key = await site.somebody("owner"), site.take(), new_key()
    ticket = (await site.claim(owner, device)).ticket
    request = device.enrolment(key, await site.nonce(device.device_id), ticket)
    first = await site.hand_in(request)
    replayed = await site.hand_in(request)
    again = await site.enrol(device, ticket, key)
    assert (first.status_code, replayed.status_code, again.status_code) == (201, 200, 200)
    assert len({enrolled(answer, key).chain[0] for answer in (first, replayed, again)}) == 1
    other = await site.enrol(device, ticket)
    assert (other.status_code, code_of(other)) == (409, "ticket_used")
    assert await _certificates(site, device) == 1


async def test_fifty_keys_at_once_get_one_certificate(site: Site) -> None:
    owner, device = await site.somebody("owner"), site.take()
    ticket = (await site.claim(owner, device)).ticket
    requests = [device.enrolment(new_key(), await site.nonce(device.device_id), ticket) for _ in range(AT_ONCE)]
    answers = await asyncio.gather(*map(site.hand_in, requests))
    codes = sorted((answer.status_code, code_of(answer)) for answer in answers)
    assert codes == [(201, "")] + [(409, "ticket_used")] * (AT_ONCE - 1)
    assert await _certificates(site, device) == 1


async def test_a_ticket_ends_with_its_hour(site: Site) -> None:
    """The hour passes in the database; the activation that gave the ticket is kept open."""
    owner, device = await site.somebody("owner"), site.take()
    ticket = (await site.claim(owner, device)).ticket
    async with site.database() as database, database.transaction() as connection:
        lapsed = update(tickets).where(tickets.c.registry_key == device.registry_key)
        await connection.execute(lapsed.values(expires_at=int(time.time()) - 1))
    await _refused_as_unknown(site, await site.enrol(device, ticket))


async def test_a_ticket_ends_with_the_next_one(site: Site) -> None:
    owner, device = await site.somebody("owner"), site.take()
    first = (await site.claim(owner, device)).ticket
    second = (await site.claim(owner, device)).ticket
    await _refused_as_unknown(site, await site.enrol(device, first))
    assert (await site.enrol(device, second)).status_code == 201


async def test_a_ticket_ends_with_its_owner(site: Site) -> None:
    """Released and claimed by somebody else: neither in the old epoch nor in the new one."""
    owner, heir, device = await site.somebody("owner"), await site.somebody("heir"), site.take()
    old = (await site.claim(owner, device)).ticket
    epoch = device.epoch
    await owner.ask("POST", f"/api/devices/{device.device_id}/release")
    await _refused_as_unknown(site, await site.enrol(device, old))
    new = (await site.claim(heir, device)).ticket
    assert device.epoch == epoch + 1
    for claimed in (epoch, epoch + 1):
        device.epoch = claimed
        await _refused_as_unknown(site, await site.enrol(device, old))
    assert (await site.enrol(device, new)).status_code == 201


async def test_a_ticket_ends_with_a_revocation(site: Site) -> None:
    owner, device = await site.somebody("owner"), site.take()
    ticket = (await site.claim(owner, device)).ticket
    await owner.ask("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "stolen"})
    await _refused_as_unknown(site, await site.enrol(device, ticket))


async def test_a_ticket_in_a_symmetric_configuration_is_bound_alike(site: Site) -> None:
    owner, lock, other = await site.somebody("owner"), site.take(LOCK), site.take(LOCK)
    stolen = (await site.claim(owner, lock)).ticket
    await site.claim(owner, other)
    await _refused_as_unknown(site, await site.enrol(other, stolen))


async def test_the_database_holds_no_ticket(site: Site) -> None:
    """Who reads the database cannot enrol with what is in it."""
    owner, device = await site.somebody("owner"), site.take()
    ticket = (await site.claim(owner, device)).ticket
    rows = await site.rows()
    assert not any(ticket in cell for _, row in rows for cell in row if isinstance(cell, bytes))
    macs = [row[0] for table, row in rows if table == "tickets" and device.registry_key in row]
    assert len(macs) == 1
    await _refused_as_unknown(site, await site.enrol(device, macs[0]))
