"""T29. Means: attestations, answers and challenges seen on an attested machine. Goal: pass for it elsewhere."""

import asyncio
import time
from pathlib import Path

import pytest

from admittance.client.dpop import DpopKey
from admittance.client.session_store import SessionStore
from admittance.errors import IntegrityRefused
from tests.attack.integrity_site import (
    CLIENT,
    MUST_BE_ATTESTED,
    VERSION,
    App,
    IntegritySite,
    Phone,
    attested_until,
    refusal_of,
    until_of,
)
from tests.attack.site import command

CODE_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CODE_CHALLENGE = {
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}
"""RFC 7636, appendix B."""


async def test_the_control_is_let_in(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    attested = await integrity.service.attest(app)
    answer = await Phone(integrity, app).log_in(attested.attestation, person.email, person.password)
    assert answer.status_code == 200, answer.text
    assert attested_until(answer) == attested.expires_at
    again = await Phone(integrity, app).log_in(attested.attestation, person.email, person.password)
    assert again.status_code == 200


async def test_our_own_client_shows_its_attestation_by_itself(integrity: IntegritySite, tmp_path: Path) -> None:
    """The commands: attest, then log in; the login's tokens say so, and a profile that was not attested has none."""
    service, person, site = integrity.service, integrity.person, integrity.site
    password_file = tmp_path / "password"
    password_file.write_text(person.password)
    attest = (
        *("integrity", "attest", "--service", service.origin, "--ca-file", service.ca_file),
        *("--client-id", CLIENT, "--app-version", VERSION, "--folder", service.released),
    )
    login = (
        *("account", "login", person.email, "--server", site.origin, "--ca-file", site.stage.people_ca),
        *("--password-file", password_file),
    )
    assert (await command(*attest, "--profile", tmp_path / "attested")).code == 0
    for profile in ("attested", "bare"):
        done = await command(*login, "--profile", tmp_path / profile)
        assert done.code == 0, done.objects
    attested, bare = (_token_of(tmp_path / profile) for profile in ("attested", "bare"))
    assert until_of(attested) is not None
    assert until_of(bare) is None


def _token_of(profile: Path) -> str:
    return SessionStore(profile).load().access_token


async def test_tokens_end_with_the_attestation(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    now = int(time.time())
    ends_soon = integrity.service.signed(app, exp=now + 100)
    answer = await Phone(integrity, app).log_in(ends_soon, person.email, person.password)
    assert answer.status_code == 200, answer.text
    assert 0 < answer.json()["expires_in"] <= 100
    assert attested_until(answer) == now + 100


async def test_without_an_attestation_the_client_is_nobody(integrity: IntegritySite) -> None:
    person, phone = integrity.person, Phone(integrity, integrity.service.app())
    answer = await phone.log_in(None, person.email, person.password, client_id=MUST_BE_ATTESTED)
    assert (answer.status_code, refusal_of(answer)) == (401, "invalid_client")
    ours = await phone.log_in(None, person.email, person.password)
    assert (ours.status_code, attested_until(ours)) == (200, None)


async def test_an_attested_client_must_push_its_requests(integrity: IntegritySite) -> None:
    """Mediated from the first step on: what a browser brings was asked for by an attested app."""
    app, site = integrity.service.app(), integrity.site
    asked = {"response_type": "code", "redirect_uri": "http://127.0.0.1/callback", **CODE_CHALLENGE}
    browsed = await site.attacker.get("/oauth/authorize", params={"client_id": MUST_BE_ATTESTED, **asked})
    assert browsed.status_code == 400
    phone, good = Phone(integrity, app), integrity.service.signed(app, sub=MUST_BE_ATTESTED)
    bare = await phone.post("/oauth/par", None, client_id=MUST_BE_ATTESTED, **asked)
    stolen = await Phone(integrity, integrity.service.app()).post(
        "/oauth/par", good, client_id=MUST_BE_ATTESTED, **asked
    )
    pushed = await phone.post("/oauth/par", good, client_id=MUST_BE_ATTESTED, **asked)
    assert (refusal_of(bare), refusal_of(stolen)) == ("invalid_client", "invalid_client_attestation")
    assert pushed.status_code == 201, pushed.text


async def test_an_attestation_of_one_client_is_none_of_another(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    attested = await integrity.service.attest(app)
    answer = await Phone(integrity, app).log_in(
        attested.attestation, person.email, person.password, client_id=MUST_BE_ATTESTED
    )
    assert (answer.status_code, refusal_of(answer)) == (400, "invalid_request")


async def test_a_stolen_attestation_is_worth_nothing_with_another_key(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    stolen = (await integrity.service.attest(app)).attestation
    thief = App(app.folder, DpopKey.generate())
    answer = await Phone(integrity, thief).log_in(stolen, person.email, person.password)
    assert (answer.status_code, refusal_of(answer)) == (400, "invalid_client_attestation")


async def test_a_code_of_an_attested_app_is_worth_nothing_to_another(integrity: IntegritySite) -> None:
    """The thief is attested, too, but not with the key that the code is bound to."""
    person, app, thief = integrity.person, integrity.service.app(), integrity.service.app()
    mine = (await integrity.service.attest(app)).attestation
    theirs = (await integrity.service.attest(thief)).attestation
    asked = await Phone(integrity, app).post(
        "/oauth/authorize-challenge",
        mine,
        username=person.email,
        password=person.password,
        **CODE_CHALLENGE,
    )
    assert asked.status_code == 200, asked.text
    stolen = await Phone(integrity, thief).redeem(theirs, asked.json()["authorization_code"], CODE_VERIFIER)
    assert (stolen.status_code, refusal_of(stolen)) == (400, "invalid_grant")


async def test_an_attestation_that_has_ended_is_refused(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    now = int(time.time())
    old = integrity.service.signed(app, iat=now - 901, exp=now - 1)
    answer = await Phone(integrity, app).log_in(old, person.email, person.password)
    assert (answer.status_code, refusal_of(answer)) == (400, "use_fresh_attestation")


async def test_an_attestation_that_would_live_long_is_refused(integrity: IntegritySite) -> None:
    person, app = integrity.person, integrity.service.app()
    endless = integrity.service.signed(app, exp=int(time.time()) + 86_400)
    answer = await Phone(integrity, app).log_in(endless, person.email, person.password)
    assert (answer.status_code, refusal_of(answer)) == (400, "invalid_client_attestation")


async def test_a_login_is_renewed_as_attested_only_with_an_attestation(integrity: IntegritySite) -> None:
    """Again and again while the app is in use: who was attested once must be attested still."""
    person, app = integrity.person, integrity.service.app()
    phone = Phone(integrity, app)
    attestation = (await integrity.service.attest(app)).attestation
    refresh = (await phone.log_in(attestation, person.email, person.password)).json()["refresh_token"]
    now = int(time.time())
    old = integrity.service.signed(app, iat=now - 901, exp=now - 1)
    refused = await phone.post("/oauth/token", old, grant_type="refresh_token", refresh_token=refresh)
    assert refusal_of(refused) == "use_fresh_attestation"
    bare = await phone.post("/oauth/token", None, grant_type="refresh_token", refresh_token=refresh)
    assert attested_until(bare) is None
    refresh = bare.json()["refresh_token"]
    renewed = await phone.post("/oauth/token", attestation, grant_type="refresh_token", refresh_token=refresh)
    assert attested_until(renewed) is not None


async def test_a_recorded_request_is_good_once(integrity: IntegritySite) -> None:
    person, app, site = integrity.person, integrity.service.app(), integrity.site
    phone, attested = Phone(integrity, app), await integrity.service.attest(app)
    assert (await phone.log_in(attested.attestation, person.email, person.password)).status_code == 200
    path = "/oauth/authorize-challenge"
    proof = app.key.proof(
        method="POST", uri=site.origin + path, now=time.time(), nonce=phone.nonce, access_token=None
    )
    form = {"client_id": CLIENT, "username": person.email, "password": person.password, **CODE_CHALLENGE}
    recorded = {"data": form, "headers": {"dpop": proof, "oauth-client-attestation": attested.attestation}}
    assert (await site.attacker.post(path, **recorded)).status_code == 200
    assert refusal_of(await site.attacker.post(path, **recorded)) == "invalid_dpop_proof"


async def test_an_answer_counts_once(integrity: IntegritySite) -> None:
    app, service = integrity.service.app(), integrity.service
    challenge = await service.challenge(app)
    answer = app.answer(challenge)
    await service.answer(app, challenge, answer)
    with pytest.raises(IntegrityRefused):
        await service.answer(app, challenge, answer)
    assert (await service.causes())[-1] == "replayed"


async def test_an_answer_sent_twelve_times_at_once_counts_once(integrity: IntegritySite) -> None:
    app, service = integrity.service.app(), integrity.service
    challenge = await service.challenge(app)
    answer = app.answer(challenge)
    outcomes = await asyncio.gather(
        *(service.answer(app, challenge, answer) for _ in range(12)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert all(isinstance(outcome, IntegrityRefused) for outcome in outcomes if isinstance(outcome, Exception))


async def test_an_answer_to_one_challenge_does_not_answer_another(integrity: IntegritySite) -> None:
    app, service = integrity.service.app(), integrity.service
    earlier = await service.challenge(app)
    answer = app.answer(earlier)
    await service.answer(app, earlier, answer)
    with pytest.raises(IntegrityRefused):
        await service.answer(app, await service.challenge(app), answer)
    assert (await service.causes())[-1] == "wrong"


async def test_an_answer_made_on_a_clean_machine_does_not_attest_another_key(integrity: IntegritySite) -> None:
    """The thief forwards its challenge to a clean app, which answers for its own key; and catches an answer."""
    clean, thief, service = integrity.service.app(), integrity.service.app(), integrity.service
    challenge = await service.challenge(thief)
    with pytest.raises(IntegrityRefused):
        await service.answer(thief, challenge, clean.answer(challenge))
    seen = await service.challenge(clean)
    with pytest.raises(IntegrityRefused):
        await service.answer(thief, seen, clean.answer(seen))
    assert (await service.causes())[-2:] == ["wrong", "other_key"]
    await service.answer(clean, seen, clean.answer(seen))
