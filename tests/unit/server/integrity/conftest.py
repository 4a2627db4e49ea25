"""The integrity service on both databases, with a clock that the test turns."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.dpop import DpopKey
from admittance.client.integrity.service import ranges_of
from admittance.measuring.folder import AppFolder
from admittance.protocol.integrity.answers import Subject, compute
from admittance.server.accounts.dpop import VerifiedProof
from admittance.server.config_sections import DatabaseSection
from admittance.server.integrity.config import IntegrityConfig
from admittance.server.integrity.foundation import IntegrityFoundation, open_foundation
from admittance.server.integrity.service import IntegrityService
from admittance.server.integrity.verifiers import all_verifiers
from admittance.wire import base64url
from admittance.wire.integrity import (
    AnswerRequest,
    Attested,
    Challenge,
    ChallengeRequest,
    MeasuredFilesAnswers,
    PublicKey,
)

ISSUER = "https://integrity.test"
CLIENT, VERSION = "door-app", "1.0"


@dataclass
class App:
    """An instance of the app: its files and its key."""

    folder: Path
    key: DpopKey = field(default_factory=lambda: DpopKey(ec.generate_private_key(ec.SECP256R1())))

    @property
    def proof(self) -> VerifiedProof:
        return VerifiedProof(jkt=self.key.jkt, jti=secrets.token_urlsafe(16))

    def request(self, **changes: str) -> ChallengeRequest:
        jwk = msgspec.convert(self.key.public_jwk, PublicKey)
        return ChallengeRequest(**{"client_id": CLIENT, "version": VERSION} | changes, jwk=jwk)

    def answer(self, challenge: Challenge, **changes: str) -> AnswerRequest:
        """What an honest client makes of the files in this app's folder."""
        app = AppFolder(self.folder)
        subject = Subject(
            challenge=base64url.decode(challenge.challenge),
            nonce=base64url.decode(challenge.nonce),
            **{"client_id": CLIENT, "version": VERSION, "jkt": self.key.jkt} | changes,
        )
        return answering(
            challenge, compute(subject, listing=app.listing(), ranges=ranges_of(challenge), read=app.read)
        )


def answering(challenge: Challenge, mac: bytes) -> AnswerRequest:
    answers = msgspec.json.encode(MeasuredFilesAnswers(mac=base64url.encode(mac)))
    return AnswerRequest(challenge=challenge.challenge, answers=msgspec.Raw(answers))


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    clock: Clock
    foundation: IntegrityFoundation
    service: IntegrityService
    folder: Path

    def app(self) -> App:
        """Another instance of the released app."""
        return App(self.folder)

    async def attest(self, app: App, source: str = "192.0.2.1") -> Attested:
        challenge = await self.service.challenge(app.request(), app.proof, source)
        return await self.service.answer(app.answer(challenge), app.proof)

    async def audited(self) -> list[tuple[str, str]]:
        """Events with their causes."""
        rows = [msgspec.json.decode(row) async for row in self.foundation.audit_service.export()]
        return [(row["event"], row["details"].get("cause", "")) for row in rows]


def make_app(folder: Path) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "main.py").write_bytes(b"print('open')\n" * 3000)
    (folder / "lib" / "door.py").write_bytes(b"import lock\n" * 10_000)
    (folder / "lib" / "__init__.py").write_bytes(b"")
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("empty_postgres")


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The service with one release."""
    clock = Clock()
    config = IntegrityConfig(database=DatabaseSection(url=database_url), folder=tmp_path)
    foundation = open_foundation(config, clock=clock)
    service = IntegrityService(
        database=foundation.database,
        clock=clock,
        audit=foundation.audit_log,
        issuer=ISSUER,
        policy=config.policy,
        keys=foundation.keys.signing,
        source_key=foundation.keys.source_key,
        verifiers=all_verifiers(foundation.copies),
    )
    opened = World(clock, foundation, service, make_app(tmp_path / "app"))
    await foundation.migrate()
    await foundation.releases.add(client_id=CLIENT, version=VERSION, folder=opened.folder)
    yield opened
    await foundation.close()
