"""T28. Means: a machine on which the app was changed, and all of its code. Goal: answer its challenges all the same.

Not defended, and so not here: who keeps a clean copy of the app beside the changed one answers from that.
"""

import asyncio
import secrets
import shutil
from pathlib import Path

import pytest

from admittance.client.integrity.service import ranges_of
from admittance.errors import IntegrityRefused, Malformed, Throttled
from admittance.wire.integrity import Challenge
from tests.attack.integrity_site import App, IntegritySite, Service, own_address

CHANGED, AT = "api.py", 1234
"""The byte that the attacker changed."""


@pytest.fixture
def tampered(integrity: IntegritySite, tmp_path: Path) -> App:
    """One byte of one file is another."""
    app = integrity.service.copy(tmp_path)
    content = bytearray((app.folder / CHANGED).read_bytes())
    content[AT] ^= 1
    (app.folder / CHANGED).write_bytes(content)
    return app


def _asks_for_the_change(challenge: Challenge) -> bool:
    return any(
        part.path == CHANGED and part.offset <= AT < part.offset + part.length for part in ranges_of(challenge)
    )


def _asked(challenge: Challenge) -> int:
    return sum(part.length for part in ranges_of(challenge))


def _size(app: App) -> int:
    return sum(path.stat().st_size for path in app.folder.rglob("*") if path.is_file())


async def test_a_changed_byte_is_found_with_the_stated_probability(integrity: IntegritySite, tampered: App) -> None:
    """60 % of 100 challenges, each to another address: 4 standard deviations are 20. And found is who was asked."""
    found = 0
    for _ in range(100):
        challenge = await integrity.service.challenge(tampered)
        assert _asked(challenge) >= 0.6 * _size(tampered)
        try:
            await integrity.service.answer(tampered, challenge, tampered.answer(challenge))
        except IntegrityRefused:
            found += 1
            assert _asks_for_the_change(challenge)
        else:
            assert not _asks_for_the_change(challenge)
    assert 40 <= found <= 80


async def test_changes_all_over_the_app_are_found(integrity: IntegritySite, tmp_path: Path) -> None:
    app = integrity.service.copy(tmp_path)
    for path in app.folder.rglob("*.py"):
        content = bytearray(path.read_bytes())
        if content:
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
    for _ in range(5):
        with pytest.raises(IntegrityRefused):
            await integrity.service.attest(app)


async def test_waiting_for_a_challenge_that_misses_the_change_is_in_vain(
    integrity: IntegritySite, tampered: App
) -> None:
    """The app knows where it was changed. From one address, each challenge after one that was let go asks for all."""
    address, service = own_address(), integrity.service
    first = await service.challenge(tampered, address)
    for _ in range(9):
        assert _asked(await service.challenge(tampered, address)) == _size(tampered)
    with pytest.raises(Throttled):
        await service.challenge(tampered, address)
    assert _asked(first) < _size(tampered)


async def test_asking_for_many_at_once_is_in_vain(integrity: IntegritySite, tampered: App) -> None:
    address, service = own_address(), integrity.service
    asked = await asyncio.gather(*(service.challenge(tampered, address) for _ in range(8)))
    assert sorted(_asked(challenge) == _size(tampered) for challenge in asked) == [False] + [True] * 7


async def test_a_new_key_does_not_help(integrity: IntegritySite, tampered: App) -> None:
    """The app is installed anew, with another key, on the same machine."""
    address, service = own_address(), integrity.service
    await service.challenge(tampered, address)
    anew = App(tampered.folder)
    challenge = await service.challenge(anew, address)
    assert _asks_for_the_change(challenge)
    with pytest.raises(IntegrityRefused):
        await service.answer(anew, challenge, anew.answer(challenge))


@pytest.mark.parametrize("change", ["extra file", "extra empty file", "removed file", "renamed file", "longer file"])
async def test_files_more_or_less_are_always_found(integrity: IntegritySite, tmp_path: Path, change: str) -> None:
    app = integrity.service.copy(tmp_path)
    match change:
        case "extra file":
            (app.folder / "sitecustomize.py").write_text("import spy")
        case "extra empty file":
            (app.folder / "channel" / "py.typed").touch()
        case "removed file":
            (app.folder / "integrity" / "attestation.py").unlink()
        case "renamed file":
            (app.folder / "api.py").rename(app.folder / "api_.py")
        case "longer file":
            (app.folder / "api.py").write_bytes((app.folder / "api.py").read_bytes() + b"\n")
    with pytest.raises(IntegrityRefused):
        await integrity.service.attest(app)


async def test_a_link_to_elsewhere_is_found(integrity: IntegritySite, tmp_path: Path) -> None:
    """The app measures itself: it does not follow links, nor leave out what it can't answer for."""
    app = integrity.service.copy(tmp_path)
    shutil.move(app.folder / "api.py", tmp_path / "api.py")
    (app.folder / "api.py").symlink_to(tmp_path / "api.py")
    with pytest.raises(Malformed):
        await integrity.service.attest(app)


async def _late(service: Service, app: App) -> None:
    challenge = await service.challenge(app)
    await asyncio.sleep(challenge.deadline_s)
    with pytest.raises(IntegrityRefused):
        await service.answer(app, challenge, app.answer(challenge))


async def test_an_answer_after_the_deadline_is_refused(integrity: IntegritySite) -> None:
    """Time to fetch the original, to ask a person, or to compute elsewhere: there is none."""
    await _late(integrity.strict, integrity.strict.app())
    assert (await integrity.strict.causes())[-1] == "late"


async def test_an_earlier_answer_does_not_do(integrity: IntegritySite, tampered: App) -> None:
    """Answers recorded while the app was clean, tried after it was changed; also those to the same question."""
    service = integrity.service
    clean = App(integrity.service.released, tampered.key)
    recorded = []
    for _ in range(3):
        challenge = await service.challenge(clean)
        recorded.append(clean.answer(challenge))
        await service.answer(clean, challenge, recorded[-1])
    for answer in recorded:
        with pytest.raises(IntegrityRefused):
            await service.answer(tampered, await service.challenge(tampered), answer)
    assert (await service.causes())[-3:] == ["wrong"] * 3


async def test_no_challenge_comes_twice(integrity: IntegritySite) -> None:
    """So that no table of answers can be made in advance."""
    app = integrity.service.app()
    asked = [await integrity.service.challenge(app) for _ in range(30)]
    for seen in (
        {challenge.nonce for challenge in asked},
        {challenge.challenge for challenge in asked},
        {bytes(challenge.question) for challenge in asked},
    ):
        assert len(seen) == 30


async def test_refusals_look_the_same(integrity: IntegritySite, tampered: App) -> None:
    """Nobody learns from them what was found, or whether a challenge is known."""
    service, app = integrity.service, integrity.service.app()
    challenge = await service.challenge(app)
    await service.answer(app, challenge, app.answer(challenge))
    unknown = Challenge(
        challenge=secrets.token_urlsafe(16),
        nonce=challenge.nonce,
        deadline_s=1,
        verifier=challenge.verifier,
        question=challenge.question,
    )
    texts = set()
    for mine, asked in ((app, challenge), (app, unknown), (tampered, await service.challenge(tampered))):
        with pytest.raises(IntegrityRefused) as caught:
            await service.answer(mine, asked, bytes(32))
        texts.add((str(caught.value), caught.value.cause))
    assert len(texts) == 1
    assert (await service.causes())[-3:] == ["replayed", "unknown", "wrong"]
