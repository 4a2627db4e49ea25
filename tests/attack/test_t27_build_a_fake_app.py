"""T27. Means: everything that ships in the app, and somebody who installs another. Goal: an attestation for that.

There is no secret in any app to extract; what an app has, its key, it makes where it runs.
"""

import json
import re
import secrets
import shutil
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import admittance
from admittance.client.dpop import DpopKey
from admittance.client.integrity.attestation import ATTESTATION_FILE
from admittance.errors import AuthenticationFailed, IntegrityRefused, NotFound
from admittance.wire import base64url
from admittance.wire.integrity import Challenge
from tests.attack.integrity_site import CLIENT, VERSION, App, IntegritySite, Phone, Service, refusal_of
from tests.attack.site import command
from tests.unit.server.access.attester import Attester

SECRETS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}|client_secret\"?\s*[:=]\s*[\"'][^\"']+[\"']"
)


def _fake(service: Service, folder: Path) -> App:
    """The shipped app with a line of the attacker's own in it."""
    fake = service.copy(folder)
    main = fake.folder / "api.py"
    main.write_text(main.read_text() + '\nimport urllib.request; STOLEN_TO = "https://evil.example"\n')
    return fake


async def _attest(service: Service, app: Path, profile: Path) -> tuple[int, dict[str, object]]:
    """The real command, over the app in that folder."""
    done = await command(
        *("integrity", "attest", "--service", service.origin, "--ca-file", service.ca_file),
        *("--client-id", CLIENT, "--app-version", VERSION, "--folder", app, "--profile", profile),
    )
    return done.code, done.last


async def test_the_control_is_attested(integrity: IntegritySite, tmp_path: Path) -> None:
    code, shown = await _attest(integrity.service, integrity.service.copy(tmp_path).folder, tmp_path / "profile")
    assert code == 0, shown
    kept = json.loads((tmp_path / "profile" / ATTESTATION_FILE).read_bytes())
    assert kept["attestation"] == shown["attestation"]


async def test_no_app_ships_a_secret(integrity: IntegritySite) -> None:
    """Neither our whole distribution nor the released app holds a key: not the servers', and none of its own."""
    keys = _secrets_of(integrity)
    shipped = [*Path(admittance.__file__).parent.rglob("*"), *integrity.service.released.rglob("*")]
    files = [path for path in shipped if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 100
    assert len(keys) > 10
    for path in files:
        content = path.read_bytes()
        assert SECRETS.search(content) is None, path
        assert not any(key in content for key in keys), path


def _secrets_of(integrity: IntegritySite) -> set[bytes]:
    """Every private value of both servers, as bytes, in hexadecimal and in base64url."""
    found: set[bytes] = set()
    for folder in (integrity.service.folder / "data" / "keys", integrity.site.stage.data / "keys"):
        for path in folder.rglob("*.key"):
            content = path.read_bytes()
            if content.startswith(b"-----"):
                key = serialization.load_pem_private_key(content, None)
                if isinstance(key, ec.EllipticCurvePrivateKey):
                    content = key.private_numbers().private_value.to_bytes(32, "big")
                else:
                    assert isinstance(key, X25519PrivateKey)
                    content = key.private_bytes_raw()
            found |= {content, content.hex().encode(), base64url.encode(content).encode()}
    return found


async def test_a_fake_app_gets_no_attestation(integrity: IntegritySite, tmp_path: Path) -> None:
    """It keeps all of the client's code, and so answers as the original does; from its own files."""
    fake = _fake(integrity.service, tmp_path)
    code, shown = await _attest(integrity.service, fake.folder, tmp_path / "profile")
    assert (code, shown["error"]) == (3, "integrity_refused")
    assert not (tmp_path / "profile" / ATTESTATION_FILE).exists()


async def test_an_app_built_from_nothing_gets_no_attestation(integrity: IntegritySite, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "main.py").write_text("print('mine')")
    code, shown = await _attest(integrity.service, own, tmp_path / "profile")
    assert (code, shown["error"]) == (3, "integrity_refused")


async def test_names_and_sizes_are_not_enough(integrity: IntegritySite, tmp_path: Path) -> None:
    """The manifest is no secret: other contents under the same names, of the same sizes."""
    fake = integrity.service.copy(tmp_path)
    for path in fake.folder.rglob("*.py"):
        path.write_bytes(secrets.token_bytes(path.stat().st_size))
    with pytest.raises(IntegrityRefused):
        await integrity.service.attest(fake)


@pytest.mark.parametrize("answer", [bytes(32), b"\xff" * 32, b"", b"short"], ids=["zeros", "ones", "empty", "short"])
async def test_an_invented_answer_is_refused(integrity: IntegritySite, answer: bytes) -> None:
    app, service = integrity.service.app(), integrity.service
    with pytest.raises(IntegrityRefused):
        await service.answer(app, await service.challenge(app), answer)


async def test_an_invented_challenge_has_no_answer(integrity: IntegritySite) -> None:
    app, service = integrity.service.app(), integrity.service
    real = await service.challenge(app)
    invented = Challenge(
        challenge=base64url.encode(secrets.token_bytes(16)),
        nonce=real.nonce,
        deadline_s=real.deadline_s,
        verifier=real.verifier,
        question=real.question,
    )
    with pytest.raises(IntegrityRefused):
        await service.answer(app, invented, app.answer(invented))


async def test_a_release_that_the_operator_did_not_register_is_refused(
    integrity: IntegritySite, tmp_path: Path
) -> None:
    fake = _fake(integrity.service, tmp_path)
    async with integrity.service.client(fake) as client:
        with pytest.raises(NotFound):
            await client.attest(client_id=CLIENT, version="6.6.6", folder=fake.folder)
        with pytest.raises(NotFound):
            await client.attest(client_id="evil-app", version=VERSION, folder=fake.folder)


async def test_a_registered_version_can_not_be_replaced(integrity: IntegritySite, tmp_path: Path) -> None:
    """Who builds releases, but must not change one that is out."""
    fake = _fake(integrity.service, tmp_path)
    done = await command(
        *("integrity", "release", "add", fake.folder, "--client-id", CLIENT, "--version", VERSION),
        *("--config", integrity.service.config),
    )
    assert (done.code, done.last["error"]) == (3, "conflict")


async def test_who_has_no_key_can_not_ask(integrity: IntegritySite) -> None:
    """A request names a key of somebody else's; the proof is by another."""
    victim, thief = integrity.service.app(), integrity.service.app()
    forged = DpopKey.generate()
    thief.key = forged
    async with integrity.service.client(thief) as client:
        client._key = _Claiming(forged, victim.key)
        with pytest.raises(AuthenticationFailed):
            await client.challenge(client_id=CLIENT, version=VERSION)


class _Claiming(DpopKey):
    """Signs with one key, and shows another."""

    def __init__(self, signer: DpopKey, shown: DpopKey) -> None:
        super().__init__(signer._private_key)
        self._shown = shown

    @property
    def public_jwk(self) -> dict[str, str]:
        return self._shown.public_jwk


async def test_attestations_of_the_attackers_own_making_are_refused(integrity: IntegritySite) -> None:
    """Signed by a service of its own, also under the real one's key id; by the app's key; or not at all."""
    person, app, now = integrity.person, integrity.service.app(), time.time()
    genuine = (await integrity.service.attest(app)).attestation
    header, payload, _ = genuine.split(".")
    kid = json.loads(base64url.decode(header))["kid"]
    evil = Attester()
    claims = {"iss": integrity.service.origin, "client_id": CLIENT}
    own = evil.attest(app.key, now=now, **claims)
    evil.kid = kid
    same_id = evil.attest(app.key, now=now, **claims)
    evil.key, evil.kid = app.key._key, app.key.jkt
    by_the_app = evil.attest(app.key, now=now, **claims)
    none = base64url.encode(json.dumps({"typ": "oauth-client-attestation+jwt", "alg": "none", "kid": kid}).encode())
    for forged in (own, same_id, by_the_app, f"{none}.{payload}.", f"{header}.{payload}.{'A' * 86}"):
        answer = await Phone(integrity, app).log_in(forged, person.email, person.password)
        assert (answer.status_code, refusal_of(answer)) == (400, "invalid_client_attestation")
    assert (await Phone(integrity, app).log_in(genuine, person.email, person.password)).status_code == 200


async def test_a_service_that_the_server_does_not_know_attests_nobody(integrity: IntegritySite) -> None:
    """Another integrity service, run by the attacker, calls itself as the real one does."""
    person = integrity.person
    app = integrity.strict.app()
    attested = integrity.strict.signed(app, iss=integrity.service.origin)
    answer = await Phone(integrity, app).log_in(attested, person.email, person.password)
    assert (answer.status_code, refusal_of(answer)) == (400, "invalid_client_attestation")


async def test_the_original_is_attested_after_all_that(integrity: IntegritySite, tmp_path: Path) -> None:
    """Nobody was locked out: attackers come from addresses of their own."""
    clean = App(shutil.copytree(integrity.service.released, tmp_path / "clean"))
    await integrity.service.attest(clean)
