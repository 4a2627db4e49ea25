"""T22. Means: all that a device and its owner have at one moment: certificate and key, a connection that is open,
tickets, challenges, activations. Goal: use any of it after a revocation, a release or a factory reset.

Nothing here waits: what the server answered to the owner is in force at the next request, on every node.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio

from admittance.demo.held_connection import HeldConnection
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.wire import base64url
from tests.attack.nodes import ON_POSTGRESQL, Nodes
from tests.attack.site import CBOR, LOCK, Enrolment, Login, Site, code_of, enrolled, new_key
from tests.attack.world import World
from tests.device_world import FakeDevice

STATUS = "/device/status"


@dataclass
class Everything:
    """What can be used to get at a device's access, all of it good at the moment."""

    site: Site
    owner: Login
    device: FakeDevice
    operational: Enrolment
    held: httpx.AsyncClient
    unsent: dict[str, object]
    answered: dict[str, object]

    @classmethod
    async def of(cls, site: Site, owner: Login) -> "Everything":
        device = site.certified()
        operational = await site.onboard(owner, device)
        held = site.as_device(operational.key, operational.chain)
        assert (await held.get(STATUS)).status_code == 200
        answered = await site.evidence(owner, device)
        assert (await owner.send("POST", "/api/activations", answered)).status_code == 201
        unsent = await site.evidence(owner, device)
        return cls(site, owner, device, operational, held, unsent, answered)

    @property
    def path(self) -> str:
        return f"/api/devices/{self.device.device_id}"

    async def fresh(self) -> httpx.AsyncClient:
        return self.site.as_device(self.operational.key, self.operational.chain)

    async def renewed(self) -> httpx.Response:
        return await self.site.enrol(self.device)

    async def reported(self, resets: int) -> httpx.Response:
        """Tell the server of a factory reset, as the device does."""
        report = build_reset_report(
            self.device.identity,
            nonce=await self.site.nonce(self.device.device_id),
            device_id=self.device.device_id,
            epoch=self.device.epoch,
            resets=resets,
        )
        return await self.site.device_side.post("/enrolment/resets", content=report, headers=CBOR)

    async def assert_no_certificate_works(self) -> None:
        for client in (self.held, await self.fresh()):
            refused = await client.get(STATUS)
            assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
        for key in (new_key(), self.operational.key):
            refused = await self.site.enrol(self.device, key=key)
            assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
        assert self.operational.certificate.serial_number in await self.site.revoked_serials()
        people = await self.site.attacker.get("/crl")
        assert people.content == (await self.site.device_side.get("/crl")).content


@pytest_asyncio.fixture(loop_scope="session")
async def everything(site: Site) -> Everything:
    return await Everything.of(site, await site.somebody("owner"))


async def test_a_revocation_ends_every_credential(site: Site, everything: Everything) -> None:
    owner = everything.owner
    assert (await everything.renewed()).status_code == 201
    await owner.ask("POST", f"{everything.path}/revoke", {"reason": "stolen"})
    await everything.assert_no_certificate_works()
    unsent = await owner.send("POST", "/api/activations", everything.unsent)
    assert (unsent.status_code, code_of(unsent)) == (403, "evidence_refused")
    again = await owner.send("POST", "/api/activations", everything.answered)
    assert (again.status_code, code_of(again)) == (409, "already_used")
    anew = await site.activate(owner, everything.device)
    assert (anew.status_code, code_of(anew)) == (403, "evidence_refused")
    stranger = await site.activate(await site.somebody("attacker"), everything.device)
    assert stranger.content == anew.content
    assert (await owner.send("POST", f"{everything.path}/release")).status_code == 409
    assert (await owner.ask("GET", everything.path))["state"] == "revoked"


async def test_a_revocation_ends_an_activation_that_no_device_answered(site: Site) -> None:
    owner, device = await site.somebody("owner"), site.certified()
    asked = await site.evidence(owner, device)
    answer = await owner.send("POST", "/api/activations", asked)
    assert answer.status_code == 201
    ticket = device.open(_sealed(answer), site.root_spki_sha256).configuration.ticket
    await owner.ask("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "stolen"})
    assert (await site.enrol(device, ticket)).status_code == 401
    assert code_of(await owner.send("POST", "/api/activations", asked)) == "already_used"


async def test_a_revocation_ends_the_challenge_of_a_button(site: Site) -> None:
    """The code that the server gives for the device's window afterwards is none of the device's."""
    owner, lock = await site.somebody("owner"), site.take(LOCK)
    await site.onboard(owner, lock)
    challenge = (await owner.ask("POST", f"/d/{lock.device_id}"))["challenge"]
    asked = {"challenge": challenge, "device_id": lock.device_id, "window_nonce": "A" * 22}
    before = await owner.ask("POST", "/api/presence-codes", asked)
    await owner.ask("POST", f"/api/devices/{lock.device_id}/revoke", {"reason": "stolen"})
    assert await owner.ask("POST", "/api/presence-codes", asked) != before


async def test_a_revocation_races_with_renewals(site: Site, everything: Everything) -> None:
    """Whichever comes first: nothing that was issued is good afterwards."""
    keys = [new_key() for _ in range(10)]
    nonces = [await site.nonce(everything.device.device_id) for _ in keys]
    requests = [everything.device.enrolment(key, nonce) for key, nonce in zip(keys, nonces, strict=True)]
    revoked, *answers = await asyncio.gather(
        everything.owner.send("POST", f"{everything.path}/revoke", {"reason": "stolen"}),
        *map(site.hand_in, requests),
    )
    assert revoked.status_code == 200
    listed = await site.revoked_serials()
    for key, answer in zip(keys, answers, strict=True):
        if answer.status_code == 201:
            issued = enrolled(answer, key)
            assert (await site.as_device(key, issued.chain).get(STATUS)).status_code == 401
            assert issued.certificate.serial_number in listed
        else:
            assert answer.status_code == 401


async def test_after_a_release_the_old_owner_has_nothing(site: Site, everything: Everything) -> None:
    owner, heir, device = everything.owner, await site.somebody("heir"), everything.device
    await owner.ask("POST", f"{everything.path}/release")
    await everything.assert_no_certificate_works()
    assert (await owner.send("GET", everything.path)).status_code == 404
    assert code_of(await owner.send("POST", "/api/activations", everything.answered)) == "already_used"
    epoch = device.epoch
    taken_over = await site.onboard(heir, device)
    assert device.epoch == epoch + 1
    assert (await heir.ask("GET", everything.path))["epoch"] == epoch + 1
    for method, path, content in (
        ("GET", everything.path, None),
        ("POST", f"{everything.path}/revoke", {"reason": "mine"}),
        ("POST", f"{everything.path}/release", None),
    ):
        assert (await owner.send(method, path, content)).status_code == 404
    assert everything.device.device_id not in (await owner.send("GET", "/api/devices")).text
    unsent = await owner.send("POST", "/api/activations", everything.unsent)
    assert (unsent.status_code, code_of(unsent)) == (409, "conflict")
    for client in (everything.held, await everything.fresh()):
        assert (await client.get(STATUS)).status_code == 401
    assert (await site.as_device(taken_over.key, taken_over.chain).get(STATUS)).status_code == 200


async def test_an_earlier_epoch_gets_no_certificate(site: Site, everything: Everything) -> None:
    """The identity key still signs for the epoch of the owner before."""
    device = everything.device
    await everything.owner.ask("POST", f"{everything.path}/release")
    old_epoch = device.epoch
    await site.onboard(await site.somebody("heir"), device)
    device.epoch = old_epoch
    assert (await everything.renewed()).status_code == 401
    device.epoch = old_epoch + 2
    assert (await everything.renewed()).status_code == 401


async def test_after_a_factory_reset_the_owner_must_come_to_the_device(site: Site, everything: Everything) -> None:
    owner, device = everything.owner, everything.device
    assert (await everything.reported(resets=1)).status_code == 204
    await everything.assert_no_certificate_works()
    assert code_of(await owner.send("POST", "/api/activations", everything.answered)) == "already_used"
    other = await site.activate(await site.somebody("attacker"), device)
    assert (other.status_code, code_of(other)) == (409, "conflict")
    device.resets = 1
    ticket = (await site.claim(owner, device)).ticket
    assert (await site.enrol(device, ticket)).status_code == 201


async def test_evidence_of_a_reset_ends_what_was_before_it(site: Site, everything: Everything) -> None:
    """A device that was reset without reaching its server: its next evidence tells of it."""
    everything.device.resets = 1
    ticket = (await site.claim(everything.owner, everything.device)).ticket
    await everything.assert_no_certificate_works()
    assert (await site.enrol(everything.device, ticket)).status_code == 201


@ON_POSTGRESQL
async def test_a_revocation_on_one_node_is_in_force_on_the_other(nodes: Nodes) -> None:
    site, owner = nodes.first, await nodes.first.somebody("owner")
    everything = await Everything.of(site, owner)
    operational = everything.operational
    held = site.as_device(operational.key, operational.chain, nodes.device_port)
    assert (await held.get(STATUS)).status_code == 200
    assert operational.certificate.serial_number not in await site.revoked_serials(nodes.first_contact)
    await owner.ask("POST", f"{everything.path}/revoke", {"reason": "stolen"})
    fresh = site.as_device(operational.key, operational.chain, nodes.device_port)
    for client in (held, fresh):
        assert (await client.get(STATUS)).status_code == 401
    assert (await site.enrol(everything.device, http=nodes.first_contact)).status_code == 401
    assert operational.certificate.serial_number in await site.revoked_serials(nodes.first_contact)
    unsent = await owner.send("POST", "/api/activations", everything.unsent, http=nodes.people)
    assert code_of(unsent) == "evidence_refused"


@ON_POSTGRESQL
async def test_a_ticket_and_a_proof_are_used_up_on_all_nodes(nodes: Nodes) -> None:
    site, owner = nodes.first, await nodes.first.somebody("owner")
    device = site.certified()
    ticket = (await site.claim(owner, device)).ticket
    assert (await site.enrol(device, ticket)).status_code == 201
    assert code_of(await site.enrol(device, ticket, http=nodes.first_contact)) == "ticket_used"
    nonce = await site.nonce(device.device_id)
    assert (await site.hand_in(device.enrolment(new_key(), nonce))).status_code == 201
    reused = await site.hand_in(device.enrolment(new_key(), nonce), nodes.first_contact)
    assert code_of(reused) == "already_used"
    proof = owner.headers("GET", "/api/account")
    assert (await site.attacker.get("/api/account", headers=proof)).status_code == 200
    assert (await nodes.people.get("/api/account", headers=proof)).status_code == 401


@ON_POSTGRESQL
async def test_a_login_ended_on_one_node_is_dead_on_the_other(nodes: Nodes) -> None:
    login = await nodes.first.account("leaver")
    assert (await login.send("GET", "/api/account", http=nodes.people)).status_code == 200
    await login.log_out()
    assert (await login.send("GET", "/api/account", http=nodes.people)).status_code == 401


async def test_a_real_device_is_locked_out_by_the_owners_command(world: World, owner: Path) -> None:
    device = await world.owned(owner)
    async with await HeldConnection.open(device.state) as connection:
        assert await connection.ask() == 200
        command = ("devices", "revoke", device.device_id, "--reason", "stolen", "--yes", "--profile", owner)
        await world.stage.admit("revoke", *command)
        assert await connection.ask() == 401
    async with await HeldConnection.open(device.state) as connection:
        assert await connection.ask() == 401
    await device.told("access_refused")


def _sealed(answer: httpx.Response) -> bytes:
    return base64url.decode(answer.json()["sealed"])
