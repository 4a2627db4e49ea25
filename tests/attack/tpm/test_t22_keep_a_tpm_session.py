"""T22. Means: all that a device with a TPM has at one moment: connections that its TPM authenticated, challenges that
it answered, a request for a certificate. Goal: use any of it after its access ended, on any node.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx

from tests.attack.nodes import Nodes
from tests.attack.site import CBOR, Login, code_of
from tests.attack.tpm_site import Session, TpmSite
from tests.tpm_device import TpmDevice


@dataclass
class Held:
    """Of one enrolment. `proven` are authenticated connections, `answered` others whose answer was not handed in."""

    device: TpmDevice
    key: bytes
    proven: list[Session]
    answered: list[tuple[Session, bytes, bytes]]
    renewal: bytes

    async def assert_over(self, nodes: Nodes) -> None:
        for session in self.proven:
            assert _is_refused(await session.status())
            assert _is_refused(await session.http.post("/device/enrolment-codes"))
        for session, challenge_id, signature in self.answered:
            assert _is_refused(await session.hand_in(self.device.device_id, challenge_id, signature))
            assert _is_refused(await session.prove(self.device, self.key))
            assert _is_refused(await session.status())
        assert _is_refused(await nodes.first.hand_in(self.renewal, nodes.first_contact))


def _is_refused(answer: httpx.Response) -> bool:
    return (answer.status_code, code_of(answer)) == (401, "authentication_failed")


async def _everything(tpms: TpmSite, nodes: Nodes, stack: AsyncExitStack, owner: Login, device: TpmDevice) -> Held:
    kept = await tpms.onboard(owner, device)
    held = Held(device, kept.key, [], [], await tpms.request(device))
    for ports in nodes.ports:
        proven, open_ = [await stack.enter_async_context(tpms.session(ports.first_contact)) for _ in range(2)]
        assert (await proven.prove(device, kept.key)).status_code == 204
        assert (await proven.status()).status_code == 200
        held.proven.append(proven)
        challenge = await open_.challenge(device.device_id)
        signature = device.session_signature(kept.key, challenge, open_.nonce, open_.server_sha256)
        held.answered.append((open_, challenge.challenge_id, signature))
    return held


async def test_every_ending_ends_every_session(tpms: TpmSite, nodes: Nodes) -> None:
    """One device from owner to owner: lost, found, reset, stolen, found, released, decommissioned."""
    site = tpms.site
    owner, heir, device = await site.somebody("owner"), await site.somebody("heir"), tpms.device()
    path = f"/api/devices/{device.device_id}"
    async with AsyncExitStack() as stack:
        held = await _everything(tpms, nodes, stack, owner, device)
        await owner.ask("POST", f"{path}/lost")
        for session in held.proven:
            assert (await session.status()).status_code == 200
            assert code_of(await session.http.post("/device/enrolment-codes")) == "not_allowed"
        await owner.ask("POST", f"{path}/found")
        device.resets += 1
        report = device.reset_report(await site.nonce(device.device_id))
        assert (await site.device_side.post("/enrolment/resets", content=report, headers=CBOR)).status_code == 204
        await held.assert_over(nodes)
        held = await _everything(tpms, nodes, stack, owner, device)
        await owner.ask("POST", f"{path}/stolen")
        await held.assert_over(nodes)
        assert code_of(await site.activate(owner, device)) == "evidence_refused"
        await owner.ask("POST", f"{path}/found")
        await held.assert_over(nodes)
        held = await _everything(tpms, nodes, stack, owner, device)
        unused = await site.evidence(owner, device)
        await owner.ask("POST", f"{path}/release")
        await held.assert_over(nodes)
        of_heir = await _everything(tpms, nodes, stack, heir, device)
        await held.assert_over(nodes)
        assert code_of(await owner.send("POST", "/api/activations", unused)) == "conflict"
        await heir.ask("POST", f"{path}/decommission", {"reason": "broken"})
        await of_heir.assert_over(nodes)
    rows = [[str(value) for value in row] for _, row in await site.rows("audit")]
    sighted = " ".join(" ".join(row) for row in rows if {"device.sighted", f"device:{device.device_id}"} <= {*row})
    assert all(f'"place":"{place}"' in sighted for place in ("device", "session", "enrolment"))


async def test_a_session_ends_with_a_revocation(tpms: TpmSite, nodes: Nodes) -> None:
    owner, device = await tpms.site.somebody("owner"), tpms.device()
    async with AsyncExitStack() as stack:
        held = await _everything(tpms, nodes, stack, owner, device)
        await owner.ask("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "stolen"})
        await held.assert_over(nodes)
