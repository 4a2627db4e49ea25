"""T17. Means: the network, other genuine devices with TPMs, answers that were seen on other connections. Goal: open a
TPM session in a device's name.
"""

from admittance.protocol.signing import SoftwareSigner
from admittance.wire import message
from admittance.wire.relay import CloseCode, RelayAccepted
from tests.attack.claims import Said, introduced
from tests.attack.relay_site import refused
from tests.attack.site import code_of, new_key, seen
from tests.attack.site import enrolled as enrolled_with
from tests.attack.tpm.conftest import Enrolled
from tests.attack.tpm_site import STATUS, TpmSite


async def test_the_control_opens_a_session(tpms: TpmSite, enrolled: Enrolled) -> None:
    async with tpms.session() as session:
        assert (await session.status()).status_code == 401
        assert (await session.prove(enrolled.device, enrolled.kept.key)).status_code == 204
        assert (await session.status()).status_code == 200
        assert (await session.status()).status_code == 200
    async with tpms.session() as another:
        assert (await another.status()).status_code == 401


async def test_another_tpm_does_not_answer(tpms: TpmSite, enrolled: Enrolled) -> None:
    thief = tpms.device()
    kept = await tpms.onboard(await tpms.site.somebody("thief"), thief)
    device_id = enrolled.device.device_id
    async with tpms.session() as session:
        own = await session.challenge(thief.device_id)
        signature = thief.session_signature(kept.key, own, session.nonce, session.server_sha256)
        answers = [await session.hand_in(device_id, own.challenge_id, signature)]
        challenge = await session.challenge(device_id)
        answers.append(await session.hand_in(device_id, challenge.challenge_id, signature))
        answers.append(await session.hand_in(device_id, challenge.challenge_id, bytes(64)))
        assert len({seen(answer) for answer in answers}) == 1
        assert (answers[0].status_code, code_of(answers[0])) == (401, "authentication_failed")
        assert (await session.status()).status_code == 401


async def test_an_answer_is_good_on_its_own_connection_and_once(tpms: TpmSite, enrolled: Enrolled) -> None:
    device = enrolled.device
    async with tpms.session() as first, tpms.session() as second:
        assert first.nonce != second.nonce
        challenge = await first.challenge(device.device_id)
        signature = device.session_signature(enrolled.kept.key, challenge, first.nonce, first.server_sha256)
        elsewhere = await second.hand_in(device.device_id, challenge.challenge_id, signature)
        assert elsewhere.status_code == 401
        assert (await first.hand_in(device.device_id, challenge.challenge_id, signature)).status_code == 204
        assert (await first.hand_in(device.device_id, challenge.challenge_id, signature)).status_code == 401
        assert (await first.status()).status_code == 401


async def test_what_is_signed_names_connection_server_device_and_epoch(tpms: TpmSite, enrolled: Enrolled) -> None:
    device, key = enrolled.device, enrolled.kept.key
    async with tpms.session() as session:
        for nonce, server in ((bytes(32), session.server_sha256), (session.nonce, bytes(32))):
            challenge = await session.challenge(device.device_id)
            signature = device.session_signature(key, challenge, nonce, server)
            refused = await session.hand_in(device.device_id, challenge.challenge_id, signature)
            assert refused.status_code == 401
        device.epoch += 1
        assert (await session.prove(device, key)).status_code == 401
        device.epoch -= 1
        assert (await session.prove(device, key)).status_code == 204


async def test_an_unknown_device_gets_a_challenge_like_a_known_one(tpms: TpmSite, enrolled: Enrolled) -> None:
    plain = tpms.site.certified()
    await tpms.site.claim(await tpms.site.somebody("owner"), plain)
    async with tpms.session() as session:
        for device_id in (plain.device_id, "AD" + "A" * 20, "AD" + "B" * 20):
            challenge = await session.challenge(device_id)
            assert (challenge.pcrs, len(challenge.id_object)) in (("", 70), ("", 86))
            again = await session.challenge(device_id)
            assert len(again.encrypted_secret) == len(challenge.encrypted_secret)
            assert again.encrypted_secret != challenge.encrypted_secret


async def test_the_device_api_of_first_contact_needs_a_session(tpms: TpmSite) -> None:
    for headers in ({}, {"authorization": "Bearer x"}, {"x-forwarded-tls-client-cert": "x"}):
        answer = await tpms.site.device_side.get(STATUS, headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")


async def test_the_relay_takes_no_key_that_is_not_in_the_tpm(tpms: TpmSite) -> None:
    """A certificate of the time before the device proved its TPM, whose key was in software and got out."""
    device, key = tpms.device(model="vault-1"), new_key()
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), device)).ticket
    stolen = enrolled_with(await tpms.site.enrol(device, ticket, key), key)
    software = Said(stolen.chain[0], SoftwareSigner(key), device.device_id, device.epoch)
    socket = await introduced(tpms.site, software.proof)
    message.decode(await socket.receive(), RelayAccepted)
    kept = await tpms.enrol(device)
    assert await refused((await introduced(tpms.site, software.proof)).receive()) == CloseCode.NOT_AUTHENTICATED
    in_tpm = Said(kept.chain[0], device.tpm.signer(kept.key), device.device_id, device.epoch)
    newer = await introduced(tpms.site, in_tpm.proof)
    message.decode(await newer.receive(), RelayAccepted)
    assert await refused(socket.receive()) == CloseCode.SUPERSEDED
    newer.abort()
    told = {(row[4], row[5]) for _, row in await tpms.site.rows("audit") if row[2] == "relay.refused"}
    assert any(subject == f"device:{device.device_id}" and "key_not_in_tpm" in why for subject, why in told)
