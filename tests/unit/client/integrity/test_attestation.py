"""The app's own side, against the real service."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from admittance.client.dpop import DpopKey
from admittance.client.integrity.attestation import ATTESTATION_FILE, OWN_FOLDER, Attestations, AttestedApp
from admittance.client.integrity.service import IntegrityClient
from admittance.errors import ConfigurationError, IntegrityRefused, NetworkFailure, NotFound
from admittance.measuring.folder import AppFolder
from admittance.protocol.integrity.files import FileRange
from admittance.wire.integrity import ATTESTATION_HEADER, Challenge
from tests.unit.server.integrity.conftest import CLIENT, VERSION
from tests.unit.server.integrity.serving import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Clock:
    ahead_s: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("integrity"), CLOCK) as opened:
        yield opened


CLOCK = Clock()


def app_of(service: Running) -> AttestedApp:
    return AttestedApp(
        service=service.origin, ca_pem=service.ca_pem, client_id=CLIENT, version=VERSION, folder=str(service.app)
    )


async def test_an_attestation_is_kept_in_a_private_file(service: Running, tmp_path: Path) -> None:
    key = DpopKey.generate()
    attestations = Attestations(tmp_path, key, clock=CLOCK)
    made = await attestations.attest(app_of(service))
    assert attestations.kept() == made
    assert made.headers == {ATTESTATION_HEADER: made.attestation}
    assert made.jkt == key.jkt
    assert (tmp_path / ATTESTATION_FILE).stat().st_mode & 0o777 == 0o600


async def test_it_is_renewed_when_a_third_of_its_life_is_left(service: Running, tmp_path: Path) -> None:
    attestations = Attestations(tmp_path, DpopKey.generate(), clock=CLOCK)
    made = await attestations.attest(app_of(service))
    CLOCK.ahead_s += 590
    assert await attestations.fresh() == made
    CLOCK.ahead_s += 20
    renewed = await attestations.fresh()
    assert renewed.expires_at > made.expires_at
    assert attestations.kept() == renewed


async def test_while_the_service_is_away_what_lives_is_good_enough(service: Running, tmp_path: Path) -> None:
    attestations = Attestations(tmp_path, DpopKey.generate(), clock=CLOCK)
    assert await attestations.headers() == {}
    made = await attestations.attest(app_of(service))
    away = msgspec.structs.replace(made, app=msgspec.structs.replace(made.app, service="https://localhost:1"))
    (tmp_path / ATTESTATION_FILE).write_bytes(msgspec.json.encode(away))
    CLOCK.ahead_s += 700
    assert await attestations.headers() == made.headers
    CLOCK.ahead_s += 300
    assert await attestations.headers() == {}


async def test_another_key_gets_an_attestation_of_its_own(service: Running, tmp_path: Path) -> None:
    made = await Attestations(tmp_path, DpopKey.generate(), clock=CLOCK).attest(app_of(service))
    key = DpopKey.generate()
    renewed = await Attestations(tmp_path, key, clock=CLOCK).fresh()
    assert (renewed.jkt, renewed.app) == (key.jkt, made.app)


async def test_a_refused_app_keeps_nothing(service: Running, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.py").write_bytes(b"other")
    attestations = Attestations(tmp_path, DpopKey.generate(), clock=CLOCK)
    with pytest.raises(IntegrityRefused):
        await attestations.attest(msgspec.structs.replace(app_of(service), folder=str(other)))
    with pytest.raises(NotFound, match="not attested"):
        attestations.kept()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / ATTESTATION_FILE
    path.touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        Attestations(tmp_path, DpopKey.generate()).kept()
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="opened by others"):
        Attestations(tmp_path, DpopKey.generate()).kept()


async def test_only_the_trusted_service_is_asked(service: Running, tmp_path: Path) -> None:
    attestations = Attestations(tmp_path, DpopKey.generate(), clock=CLOCK)
    with pytest.raises(NetworkFailure) as caught:
        await attestations.attest(msgspec.structs.replace(app_of(service), ca_pem=None))
    assert caught.value.cause == "untrusted_server"


async def test_a_service_learns_nothing_of_files_that_are_not_the_apps(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile service asks for a file beside the app; what it gets depends on nothing that it does not know."""
    asked: list[FileRange] = []
    original = IntegrityClient.challenge

    async def hostile(self: IntegrityClient, *, client_id: str, version: str) -> Challenge:
        challenge = await original(self, client_id=client_id, version=version)
        question = b'{"files": [{"path": "../service/keys/audit.key", "ranges": [[0, 32]]}]}'
        return msgspec.structs.replace(challenge, question=msgspec.Raw(question))

    monkeypatch.setattr(IntegrityClient, "challenge", hostile)
    monkeypatch.setattr(AppFolder, "read", lambda _self, part: asked.append(part) or b"")
    async with IntegrityClient(service.origin, key=DpopKey.generate(), trust=service.trust, clock=CLOCK) as client:
        with pytest.raises(IntegrityRefused):
            await client.attest(client_id=CLIENT, version=VERSION, folder=service.app)
    assert asked == []


async def test_our_own_client_is_the_installed_package() -> None:
    paths = {file.path for file in AppFolder(OWN_FOLDER).listing()}
    assert {"__init__.py", "client/integrity/attestation.py", "cli/integrity.py"} <= paths
    assert not any("__pycache__" in path for path in paths)
