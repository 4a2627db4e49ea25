"""T20. Means: malware on a device with a TPM: its files, its certificate, and any signature that it asks the TPM for
while it runs there. Goal: be that device from another machine, or go on after the malware is gone.
"""

import os

import pytest

from admittance.errors import TpmKeyLost
from admittance.protocol.tpm.session import sign_session, signing_input
from admittance.wire import message
from admittance.wire.enrolment import Enrolled as Issued
from tests.attack.site import code_of, new_key
from tests.attack.tpm.conftest import Enrolled
from tests.attack.tpm_site import STATUS, TpmSite


async def test_the_kept_key_does_not_load_in_another_tpm(tpms: TpmSite, enrolled: Enrolled) -> None:
    thief = tpms.device()
    with pytest.raises(TpmKeyLost):
        thief.tpm.signer(enrolled.kept.key).sign(b"anything")


async def test_signatures_alone_open_no_session(tpms: TpmSite, enrolled: Enrolled) -> None:
    """Whoever can have anything signed, but can't ask the TPM for the challenge's secret, answers nothing."""
    device = enrolled.device
    async with tpms.session() as session:
        challenge = await session.challenge(device.device_id)
        for secret in (os.urandom(32), bytes(32), challenge.id_object[-32:]):
            data = signing_input(
                secret=secret,
                connection_nonce=session.nonce,
                server_certificate_sha256=session.server_sha256,
                device_id=device.device_id,
                epoch=device.epoch,
            )
            signature = sign_session(device.tpm.signer(enrolled.kept.key), data)
            refused = await session.hand_in(device.device_id, challenge.challenge_id, signature)
            assert refused.status_code == 401
        assert (await session.status()).status_code == 401


async def test_the_secret_alone_opens_no_session(tpms: TpmSite, enrolled: Enrolled) -> None:
    device, other = enrolled.device, enrolled.device.tpm.make_key()
    async with tpms.session() as session:
        assert (await session.prove(device, other)).status_code == 401


async def test_an_extracted_key_is_not_enough_for_the_device_listener(tpms: TpmSite) -> None:
    """As if the operational key were in software: a device that enrolled without its TPM, then rose."""
    device, key = tpms.device(model="vault-1"), new_key()
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), device)).ticket
    answer = await tpms.site.enrol(device, ticket, key)
    assert answer.is_success
    stolen = tpms.site.as_device(key, _chain(answer.content))
    assert (await stolen.get(STATUS)).status_code == 200
    await tpms.enrol(device)
    refused = await stolen.get(STATUS)
    assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
    async with tpms.session() as session:
        assert (await session.status()).status_code == 401


def _chain(content: bytes) -> list[bytes]:
    return message.decode(content, Issued, max_bytes=len(content)).chain
