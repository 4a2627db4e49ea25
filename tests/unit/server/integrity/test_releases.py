"""The operator's word on which apps are the untampered ones, and the copies that are kept of them."""

from pathlib import Path

import pytest

from admittance.errors import ConfigurationError, Conflict, Malformed, NotFound
from admittance.server.integrity.files import FileCopies
from tests.unit.server.integrity.conftest import CLIENT, VERSION, World


async def test_the_same_again_changes_nothing(world: World) -> None:
    releases = world.foundation.releases
    (before,) = await releases.all()
    world.clock.now += 100
    assert await releases.add(client_id=CLIENT, version=VERSION, folder=world.folder) == before
    assert await releases.all() == [before]
    assert len(await world.audited()) == 1


async def test_a_version_is_never_changed(world: World) -> None:
    (world.folder / "main.py").write_bytes(b"other")
    with pytest.raises(Conflict):
        await world.foundation.releases.add(client_id=CLIENT, version=VERSION, folder=world.folder)


async def test_several_releases_are_current_at_once(world: World) -> None:
    app, releases = world.app(), world.foundation.releases
    await world.attest(app)
    (world.folder / "main.py").write_bytes(b"print('new')")
    await releases.add(client_id=CLIENT, version="1.1", folder=world.folder)
    assert [(release.version, release.retired_at) for release in await releases.all()] == [
        ("1.0", None),
        ("1.1", None),
    ]
    challenge = await world.service.challenge(app.request(version="1.1"), app.proof, "192.0.2.9")
    await world.service.answer(app.answer(challenge, version="1.1"), app.proof)


async def test_a_retired_release_can_become_current_again(world: World) -> None:
    releases = world.foundation.releases
    await releases.retire(client_id=CLIENT, version=VERSION)
    with pytest.raises(NotFound):
        await releases.retire(client_id=CLIENT, version=VERSION)
    await releases.add(client_id=CLIENT, version=VERSION, folder=world.folder)
    await world.attest(world.app())


async def test_what_is_not_there_can_not_be_retired(world: World) -> None:
    with pytest.raises(NotFound):
        await world.foundation.releases.retire(client_id=CLIENT, version="9")


async def test_a_folder_with_a_link_is_no_release(world: World) -> None:
    (world.folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(Malformed):
        await world.foundation.releases.add(client_id=CLIENT, version="2", folder=world.folder)


async def test_releases_stay_as_they_were_measured(world: World) -> None:
    """Copies are kept: what happens to the folder later matters to nobody."""
    app = world.app()
    challenge = await world.service.challenge(app.request(), app.proof, "192.0.2.9")
    answer = app.answer(challenge)
    for path in world.folder.rglob("*.py"):
        path.unlink()
    await world.service.answer(answer, app.proof)


def test_a_copy_is_kept_once_and_read_in_parts(tmp_path: Path) -> None:
    copies = FileCopies(tmp_path / "files")
    digest = copies.keep(b"content")
    assert copies.keep(b"content") == digest
    assert [path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()] == [0o600]
    assert copies.read(digest, 2, 3) == b"nte"


def test_a_copy_that_is_lost_or_cut_off_is_the_operators_to_mend(tmp_path: Path) -> None:
    copies = FileCopies(tmp_path / "files")
    digest = copies.keep(b"content")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(b"con")
    with pytest.raises(ConfigurationError, match="cut off"):
        copies.read(digest, 2, 3)
    path.unlink()
    with pytest.raises(ConfigurationError, match="add the release once more"):
        copies.read(digest, 0, 1)
