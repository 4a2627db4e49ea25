"""Challenges are answered once, in time, by the key and the app that they were for; then the app is attested."""

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from admittance.client.integrity.service import ranges_of
from admittance.errors import AuthenticationFailed, IntegrityRefused, NotFound, Throttled
from admittance.server.integrity.keys import key_set
from admittance.wire.integrity import ATTESTATION_TYPE, AnswerRequest, Challenge
from tests.unit.server.integrity.conftest import CLIENT, ISSUER, VERSION, App, World, answering

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def coverage(challenge: Challenge) -> int:
    return sum(part.length for part in ranges_of(challenge))


async def refused(world: World, app: App, answer: AnswerRequest) -> IntegrityRefused:
    with pytest.raises(IntegrityRefused) as caught:
        await world.service.answer(answer, app.proof)
    return caught.value


async def test_an_untampered_app_is_attested(world: World) -> None:
    app = world.app()
    attested = await world.attest(app)
    keys = KeySet.import_key_set(key_set(world.foundation.keys.signing, world.clock()))
    token = jwt.decode(attested.attestation, keys, algorithms=["ES256"])
    now = int(world.clock())
    assert token.header["typ"] == ATTESTATION_TYPE
    assert token.claims == {
        "iss": ISSUER,
        "sub": CLIENT,
        "iat": now,
        "exp": now + 900,
        "cnf": {"jwk": app.key.public_jwk},
        "release": VERSION,
        "verifier": "measured_files",
    }
    assert attested.expires_at == now + 900
    assert await world.audited() == [("integrity_release_added", ""), ("integrity_attested", "")]


async def test_no_two_challenges_are_alike(world: World) -> None:
    app = world.app()
    asked = []
    for _ in range(5):
        challenge = await world.service.challenge(app.request(), app.proof, HOME)
        await world.service.answer(app.answer(challenge), app.proof)
        asked.append(challenge)
    for names in ("challenge", "nonce", "question"):
        assert len({str(getattr(challenge, names)) for challenge in asked}) == 5
    size = sum(path.stat().st_size for path in world.folder.rglob("*.py"))
    assert all(size * 0.8 <= coverage(challenge) < size for challenge in asked)


async def test_a_changed_file_is_found_when_its_byte_is_asked_for(world: World, tmp_path: Path) -> None:
    fake = App(shutil.copytree(world.folder, tmp_path / "fake"))
    main = fake.folder / "main.py"
    main.write_bytes(main.read_bytes().upper())
    challenge = await world.service.challenge(fake.request(), fake.proof, HOME)
    assert (await refused(world, fake, fake.answer(challenge))).cause == "wrong"
    assert (await world.audited())[-1] == ("integrity_refused", "wrong")


@pytest.mark.parametrize("change", ["extra", "removed", "longer"])
async def test_another_set_of_files_is_always_found(world: World, tmp_path: Path, change: str) -> None:
    fake = App(shutil.copytree(world.folder, tmp_path / "fake"))
    if change == "extra":
        (fake.folder / "lib" / "spy.py").write_bytes(b"")
    elif change == "removed":
        (fake.folder / "lib" / "__init__.py").unlink()
    else:
        (fake.folder / "main.py").write_bytes((fake.folder / "main.py").read_bytes() + b"#")
    challenge = await world.service.challenge(fake.request(), fake.proof, HOME)
    assert (await refused(world, fake, fake.answer(challenge))).cause == "wrong"


async def test_an_answer_after_the_deadline_is_refused(world: World) -> None:
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    world.clock.now += challenge.deadline_s
    assert (await refused(world, app, app.answer(challenge))).cause == "late"


async def test_the_last_moment_is_in_time(world: World) -> None:
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    world.clock.now += challenge.deadline_s - 0.001
    await world.service.answer(app.answer(challenge), app.proof)


async def test_of_many_answers_at_once_one_counts(world: World) -> None:
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    answer = app.answer(challenge)
    outcomes = await asyncio.gather(
        *(world.service.answer(answer, app.proof) for _ in range(8)), return_exceptions=True
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, IntegrityRefused)]
    assert len(refusals) == 7
    assert {error.cause for error in refusals} == {"replayed"}
    assert [event for event, _ in await world.audited()].count("integrity_attested") == 1


async def test_a_wrong_answer_uses_the_challenge_up(world: World) -> None:
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    assert (await refused(world, app, answering(challenge, bytes(32)))).cause == "wrong"
    assert (await refused(world, app, app.answer(challenge))).cause == "replayed"


async def test_another_key_can_neither_answer_nor_use_the_challenge_up(world: World) -> None:
    app, thief = world.app(), world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    assert (await refused(world, thief, app.answer(challenge))).cause == "other_key"
    await world.service.answer(app.answer(challenge), app.proof)


@pytest.mark.parametrize("change", ["client_id", "version", "jkt"])
async def test_an_answer_is_bound_to_the_app_and_its_key(world: World, change: str) -> None:
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    answer = app.answer(challenge, **{change: "other"})
    assert (await refused(world, app, answer)).cause == "wrong"


async def test_answers_that_are_none_are_refused_like_wrong_ones(world: World) -> None:
    app = world.app()
    seen = set()
    for text in (b"{}", b'{"mac": "AA"}', b"7", b'{"mac": "' + b"A" * 43 + b'", "more": 1}'):
        challenge = await world.service.challenge(app.request(), app.proof, os.urandom(4).hex())
        answer = AnswerRequest(challenge=challenge.challenge, answers=msgspec.Raw(text))
        seen.add(str(await refused(world, app, answer)))
    assert len(seen) == 1


async def test_the_request_names_the_key_that_signs(world: World) -> None:
    app, other = world.app(), world.app()
    with pytest.raises(AuthenticationFailed):
        await world.service.challenge(app.request(), other.proof, HOME)


@pytest.mark.parametrize("unknown", [{"client_id": "else"}, {"version": "9.9"}])
async def test_an_unknown_release_is_not_found(world: World, unknown: dict[str, str]) -> None:
    app = world.app()
    with pytest.raises(NotFound):
        await world.service.challenge(app.request(**unknown), app.proof, HOME)


async def test_after_one_challenge_that_led_to_nothing_every_byte_is_asked_for(world: World) -> None:
    app, size = world.app(), sum(path.stat().st_size for path in world.folder.rglob("*.py"))
    first = await world.service.challenge(app.request(), app.proof, HOME)
    second = await world.service.challenge(app.request(), app.proof, HOME)
    elsewhere = await world.service.challenge(app.request(), app.proof, ELSEWHERE)
    assert (coverage(first) < size, coverage(second), coverage(elsewhere) < size) == (True, size, True)
    world.clock.now += 601
    later = await world.service.challenge(app.request(), app.proof, HOME)
    assert coverage(later) < size


async def test_challenges_asked_for_at_once_do_not_all_cover_little(world: World) -> None:
    app, size = world.app(), sum(path.stat().st_size for path in world.folder.rglob("*.py"))
    asked = await asyncio.gather(*(world.service.challenge(app.request(), app.proof, HOME) for _ in range(6)))
    assert sorted(coverage(challenge) == size for challenge in asked) == [False] + [True] * 5


async def test_who_never_answers_is_slowed_down(world: World) -> None:
    app = world.app()
    for _ in range(10):
        await world.service.challenge(app.request(), app.proof, HOME)
        world.clock.now += 1
    with pytest.raises(Throttled) as caught:
        await world.service.challenge(app.request(), app.proof, HOME)
    world.clock.now += caught.value.retry_after_s
    await world.service.challenge(app.request(), app.proof, HOME)


async def test_who_asks_all_the_time_is_slowed_down(world: World) -> None:
    app = world.app()
    for _ in range(60):
        await world.attest(app)
    with pytest.raises(Throttled):
        await world.attest(app)
    world.clock.now += 60
    await world.attest(app)


async def test_a_retired_release_attests_nobody(world: World) -> None:
    app, releases = world.app(), world.foundation.releases
    challenge = await world.service.challenge(app.request(), app.proof, HOME)
    await releases.retire(client_id=CLIENT, version=VERSION)
    assert (await refused(world, app, app.answer(challenge))).cause == "retired"
    with pytest.raises(NotFound):
        await world.service.challenge(app.request(), app.proof, HOME)
    assert (await world.audited())[-2:] == [("integrity_release_retired", ""), ("integrity_refused", "retired")]


async def test_old_challenges_are_forgotten(world: World) -> None:
    app = world.app()
    await world.attest(app)
    world.clock.now += 3000
    assert await world.service.purge() == 0
    world.clock.now += 700
    assert await world.service.purge() == 1
