"""T05. Means: an account, a genuine TPM, any identity key that one can make. Goal: register a device nobody made."""

import dataclasses

from tests.attack.site import code_of
from tests.attack.tpm_site import METER, TpmSite


async def test_a_genuine_tpm_alone_is_no_device(tpms: TpmSite) -> None:
    """Its maker vouches for the TPM; nobody vouches for the identity key in it."""
    device = dataclasses.replace(tpms.device(), certificate=None)
    login = await tpms.site.somebody("attacker")
    before = await tpms.site.rows("devices", "certificates", "endorsement_keys")
    answer = await tpms.site.activate(login, device)
    assert (answer.status_code, code_of(answer)) == (403, "evidence_refused")
    unasked = await tpms.site.hand_in(await tpms.request(device))
    assert (unasked.status_code, code_of(unasked)) == (401, "authentication_failed")
    assert await tpms.site.rows("devices", "certificates", "endorsement_keys") == before


async def test_a_genuine_device_without_tpm_is_not_one_with(tpms: TpmSite) -> None:
    """Activated, since its maker certified it for the model; enrolled never, since the model needs a TPM."""
    device = tpms.site.certified(METER)
    configuration = await tpms.site.claim(await tpms.site.somebody("attacker"), device)
    answer = await tpms.site.enrol(device, configuration.ticket)
    assert (answer.status_code, code_of(answer)) == (403, "attestation_missing")


async def test_challenges_without_number_fill_no_database(tpms: TpmSite) -> None:
    device = tpms.device()
    before = len(await tpms.site.rows("credential_challenges"))
    for number in range(40):
        answer = await tpms.credential(device, device_id="AD" + f"{number:020d}".translate(_DIGITS))
        assert answer.is_success
    assert len(await tpms.site.rows("credential_challenges")) <= before + 16


_DIGITS = str.maketrans("0123456789", "ABCDEFGHIJ")
