"""A server with a database and a policy of its own, its accounts, and devices in the hands of an attacker.

The server is the real program. The devices have identities from the maker, but what they sign and send is up to the
test: whoever bought one and opened it can do the same.
"""

import asyncio
import json
import os
import secrets
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from admittance.cli import main
from admittance.client.dpop import DpopKey
from admittance.client.oauth.pkce import Pkce
from admittance.demo.processes import Outcome, Program, Programs
from admittance.demo.stage import Ports, Stage, device_model
from admittance.maker.authority import Maker, init_maker
from admittance.maker.making import MANIFEST, BatchPlan, make_batch
from admittance.protocol.sealing import ClassicSealKey, SymmetricSealKey, spki_sha256
from admittance.protocol.signing import SoftwareSigner
from admittance.server.database import Database
from admittance.server.keystore import Keystore, open_keystore
from admittance.server.schema import metadata
from admittance.wire import base64url, message
from admittance.wire.birth import decode_birth
from admittance.wire.enrolment import Enrolled, Nonce, NonceRequest
from admittance.wire.manifest import DeviceSecrets
from admittance.wire.sealed import Configuration
from tests.client_certificates import ClientCertificate
from tests.device_world import FakeDevice
from tests.logins import CLIENT_ID, challenge_form, code_form

LAMP, LOCK, VAULT, CAMERA = "lamp-1", "lock-1", "vault-1", "camera-1"
PLANS = {
    LAMP: BatchPlan(model=LAMP, presence="display", seal="classic", certified=False, algorithm="p256"),
    LOCK: BatchPlan(model=LOCK, presence="button", seal="symmetric", certified=False, algorithm="p256"),
}
ON_SQLITE = pytest.mark.parametrize("site", ["sqlite"], indirect=True, scope="session")
"""For attacks to which the kind of database does not matter."""

CBOR = {"content-type": "application/cbor"}

Row = tuple[str, tuple[Any, ...]]


@dataclass
class Login:
    """An account with its token, and the key that the token is bound to."""

    origin: str
    http: httpx.AsyncClient
    account_id: str
    email: str
    token: str
    private_key: ec.EllipticCurvePrivateKey
    nonce: str | None = None
    password: str = ""
    refresh_token: str = ""

    @property
    def key(self) -> DpopKey:
        return DpopKey(self.private_key)

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Token and proof for one request."""
        uri = self.origin + path.partition("?")[0]
        proof = self.key.proof(method=method, uri=uri, now=time.time(), nonce=self.nonce, access_token=self.token)
        return {"authorization": f"DPoP {self.token}", "dpop": proof}

    async def send(
        self, method: str, path: str, content: object = None, *, http: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        """Send a request as this account; again where the server asks for a nonce."""
        while True:
            body = {} if content is None else {"json": content}
            answer = await (http or self.http).request(method, path, headers=self.headers(method, path), **body)
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)
            if code_of(answer) != "use_dpop_nonce":
                return answer

    async def post(self, path: str, form: dict[str, str], *, http: httpx.AsyncClient | None = None) -> httpx.Response:
        """Post a form with a proof and without the token; again where the server asks for a nonce."""
        while True:
            proof = self.key.proof(
                method="POST", uri=self.origin + path, now=time.time(), nonce=self.nonce, access_token=None
            )
            answer = await (http or self.http).post(path, data=form, headers={"dpop": proof})
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)
            if code_of(answer) != "use_dpop_nonce":
                return answer

    async def log_out(self) -> None:
        """End the login at the server."""
        answer = await self.post("/oauth/revoke", {"client_id": CLIENT_ID, "token": self.refresh_token})
        assert answer.status_code == 200, answer.text

    async def ask(self, method: str, path: str, content: object = None) -> Any:
        """Like `send`, for what must succeed; the JSON of the answer."""
        answer = await self.send(method, path, content)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@dataclass(frozen=True)
class Enrolment:
    """An operational key with its certificates (DER, leaf first)."""

    key: ec.EllipticCurvePrivateKey
    chain: list[bytes]

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.chain[0])


@dataclass
class Site:
    """See the module. `data` is the folder of the node that this site's requests go to."""

    stage: Stage
    stack: AsyncExitStack
    database_url: str
    server: Program
    keystore: Keystore
    maker: Maker
    other_maker: Maker
    unused: dict[str, list[FakeDevice]] = field(default_factory=dict)
    people_met: dict[str, Login] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, database_url: str = "", policy: str = "", lamps: int = 50, locks: int = 10
    ) -> AsyncIterator["Site"]:
        """A running server that knows the devices of two makers."""
        async with AsyncExitStack() as stack:
            stage = Stage(folder, await stack.enter_async_context(Programs(folder / "logs")))
            keystore = _keys_before_the_server(stage)
            bundle = _bundle(stage, keystore)
            makers = [_maker(folder / name, name, bundle) for name in ("acme", "umbrella")]
            stage.write_config(_config(folder, database_url, policy))
            _send_no_mail(stage)
            _ask_for_certificates(stage)
            server = await stage.serve()
            url = database_url or f"sqlite+aiosqlite:///{stage.data / 'admittance.db'}"
            site = cls(stage, stack, url, server, keystore, *makers)
            await site._stock({LAMP: lamps, LOCK: locks})
            yield site

    @property
    def origin(self) -> str:
        return self.stage.origin

    @property
    def root_spki_sha256(self) -> bytes:
        return spki_sha256(x509.load_der_x509_certificate(self.keystore.configuration_root))

    async def _stock(self, counts: dict[str, int]) -> None:
        if not any(counts.values()):
            return
        now = datetime.now(UTC).replace(microsecond=0)
        manifest = self.stage.folder / MANIFEST
        with manifest.open("wb") as lines:
            for model, count in counts.items():
                batch = self.stage.folder / "made" / model
                made = list(make_batch(self.maker, PLANS[model], count, batch, now))
                self.unused[model] = [_opened(each.directory) for each in made]
                lines.write((batch / MANIFEST).read_bytes() if made else b"")
        imported = await command("devices", "import", manifest, "--config", self.stage.config)
        assert imported.code == 0, imported.objects

    def take(self, model: str = LAMP) -> FakeDevice:
        """A device of the manifest that no test used yet."""
        return self.unused[model].pop()

    def folders(self, model: str = LAMP) -> list[Path]:
        """Where the maker left the devices of the manifest, for those that run as programs."""
        return sorted((self.stage.folder / "made" / model).glob("AD*"))

    def certified(self, model: str = VAULT, maker: Maker | None = None) -> FakeDevice:
        """A device that no manifest names; its maker's certificate vouches for it."""
        device = invented(model)
        device.certificate = certificate_for(maker or self.maker, device, model)
        return device

    @cached_property
    def attacker(self) -> httpx.AsyncClient:
        """A client of the people listener that anybody may have."""
        return self.people()

    @cached_property
    def device_side(self) -> httpx.AsyncClient:
        """A client of the first-contact listener that anybody may have."""
        return self.first_contact()

    async def operator(self) -> Login:
        """The one operator of this server."""
        if "operator" not in self.people_met:
            email = f"operator-{secrets.token_hex(3)}@example.org"
            invited = await command("account", "invite", email, "--operator", "--config", self.stage.config)
            self.people_met["operator"] = await self._accept(email, invited.last["link"])
        return self.people_met["operator"]

    async def somebody(self, name: str) -> Login:
        """The account of that name, which tests share."""
        if name not in self.people_met:
            self.people_met[name] = await self.account(name, quota=1000)
        return self.people_met[name]

    async def account(self, name: str = "ann", *, quota: int | None = None) -> Login:
        """A new account that is logged in."""
        email = f"{name}-{secrets.token_hex(3)}@example.org"
        operator = await self.operator()
        content = {"email": email, "operator": False, "quota": quota}
        return await self._accept(email, (await operator.ask("POST", "/api/invites", content))["link"])

    async def _accept(self, email: str, link: str) -> Login:
        password, secret = secrets.token_urlsafe(18), link.partition("#")[2]
        accepted = await self.attacker.post(
            "/api/invites/accept",
            json={"secret": secret, "email": email, "password": password, "display_name": "Ann"},
        )
        assert accepted.status_code == 201, accepted.text
        return await self.log_in(email, password)

    async def log_in(self, email: str, password: str) -> Login:
        """A token for a key that is made for it."""
        login = Login(self.origin, self.people(), "", email, "", ec.generate_private_key(ec.SECP256R1()))
        pkce = Pkce.generate()
        answer = await login.post("/oauth/authorize-challenge", challenge_form(email, password, pkce))
        assert answer.status_code == 200, answer.text
        answer = await login.post("/oauth/token", code_form(answer.json()["authorization_code"], pkce))
        assert answer.status_code == 200, answer.text
        login.password = password
        login.token, login.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
        login.account_id = (await login.ask("GET", "/api/account"))["account_id"]
        return login

    def people(self, port: int | None = None) -> httpx.AsyncClient:
        """A client of the people listener that trusts this server's CA alone."""
        return self._client(port or self.stage.ports.people, self.keystore.people_ca.certificate_pem)

    def with_certificate(self, certificate: ClientCertificate | None) -> httpx.AsyncClient:
        """A client of the listener that asks for certificates."""
        anchor = self.keystore.people_ca.certificate_pem
        return self._client(
            self.stage.ports.mtls, anchor if certificate is None else certificate.context(anchor, self.stage.folder)
        )

    def first_contact(self, port: int | None = None) -> httpx.AsyncClient:
        return self._client(port or self.stage.ports.first_contact, self.keystore.tls_anchor.certificate_pem)

    def as_device(
        self, key: ec.EllipticCurvePrivateKey | None, chain: Iterable[bytes], port: int | None = None
    ) -> httpx.AsyncClient:
        """A client of the device listener, or of another port, that proves `key` with the certificates of `chain`."""
        pem = self.stage.folder / f"client-{secrets.token_hex(4)}.pem"
        anchors = self.keystore.tls_anchor.certificate_pem + self.keystore.people_ca.certificate_pem
        context = ssl.create_default_context(cadata=anchors.decode())
        if key is not None:
            pem.touch(mode=0o600)
            pem.write_bytes(_pem(key) + "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode())
            context.load_cert_chain(pem)
        return self._client(port or self.stage.ports.device, context)

    def _client(self, port: int, trust: bytes | ssl.SSLContext) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=trust.decode()) if isinstance(trust, bytes) else trust
        client = httpx.AsyncClient(
            base_url=f"https://localhost:{port}", verify=context, trust_env=False, timeout=30.0
        )
        self.stack.push_async_callback(client.aclose)
        return client

    async def evidence(self, login: Login, device: FakeDevice, **changes: object) -> dict[str, object]:
        """The request that asks to activate `device`, over a challenge of the account's own."""
        challenge = (await login.ask("POST", "/api/challenges", {"purpose": "provision"}))["challenge"]
        binding = os.urandom(32)
        claims = {"server_origin": self.origin} | changes
        return {
            "challenge": challenge,
            "evidence": base64url.encode(device.evidence(base64url.decode(challenge), binding, **claims)),
            "binding": base64url.encode(binding),
            "transaction_id": base64url.encode(b"t" * 16),
            "network": {"mode": "app"},
        }

    async def activate(self, login: Login, device: FakeDevice, **changes: object) -> httpx.Response:
        return await login.send("POST", "/api/activations", await self.evidence(login, device, **changes))

    async def claim(self, login: Login, device: FakeDevice) -> Configuration:
        """Activate `device` for the account, and what the device then reads; it holds the ticket."""
        answer = await self.activate(login, device)
        assert answer.is_success, answer.text
        sealed = base64url.decode(answer.json()["sealed"])
        return device.open(sealed, self.root_spki_sha256).configuration

    async def nonce(self, device_id: str, http: httpx.AsyncClient | None = None) -> bytes:
        """The server's nonce for one request of that device."""
        content = message.encode(NonceRequest(device_id))
        answer = await (http or self.device_side).post("/enrolment/nonce", content=content, headers=CBOR)
        assert answer.status_code == 200, answer.text
        return message.decode(answer.content, Nonce).nonce

    async def hand_in(self, request: bytes, http: httpx.AsyncClient | None = None) -> httpx.Response:
        """Send a signed request for a certificate."""
        return await (http or self.device_side).post("/enrolment/requests", content=request, headers=CBOR)

    async def enrol(
        self,
        device: FakeDevice,
        ticket: bytes = b"",
        key: ec.EllipticCurvePrivateKey | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> httpx.Response:
        """Ask for a certificate as the device would, with a fresh nonce."""
        nonce = await self.nonce(device.device_id, http)
        return await self.hand_in(device.enrolment(key or new_key(), nonce, ticket), http)

    async def onboard(self, login: Login, device: FakeDevice) -> Enrolment:
        """From activation to certificate."""
        ticket, key = (await self.claim(login, device)).ticket, new_key()
        return enrolled(await self.enrol(device, ticket, key), key)

    async def revoked_serials(self, http: httpx.AsyncClient | None = None) -> set[int]:
        """What the server's revocation list names."""
        found = await (http or self.device_side).get("/crl")
        return {entry.serial_number for entry in x509.load_der_x509_crl(found.content)}

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """The server's database, for whoever got hold of it."""
        opened = Database(self.database_url)
        try:
            yield opened
        finally:
            await opened.close()

    @cached_property
    def _reader(self) -> Database:
        opened = Database(self.database_url)
        self.stack.push_async_callback(opened.close)
        return opened

    async def rows(self, *tables: str) -> set[Row]:
        """Every row of these tables, or of all."""
        found: set[Row] = set()
        async with self._reader.read() as connection:
            for table in metadata.sorted_tables:
                if not tables or table.name in tables:
                    rows = await connection.execute(select(table))
                    found |= {(table.name, tuple(row)) for row in rows}
        return found

    async def second_node(self, folder: Path) -> Stage:
        """Another server process with the same keys, on the same database."""
        node = Stage(folder, self.stage.programs, ports=Ports.free())
        shutil.copytree(self.stage.data / "keys", node.data / "keys")
        for opened in (node.data, node.data / "keys"):
            opened.chmod(0o700)
        text = self.stage.config.read_text().replace(str(self.stage.data), str(node.data))
        for name in ("people", "first_contact", "device", "app_relay", "device_relay", "mtls"):
            old, new = (getattr(ports, name) for ports in (self.stage.ports, node.ports))
            text = text.replace(f'{name} = "127.0.0.1:{old}"', f'{name} = "127.0.0.1:{new}"')
        node.config.write_text(text)
        await node.serve()
        return node


@asynccontextmanager
async def site_on(request: pytest.FixtureRequest, folder: Path, **options: Any) -> AsyncIterator[Site]:
    """A site on the database that the fixture's parameter names."""
    if request.param == "sqlite":
        async with Site.open(folder, **options) as opened:
            yield opened
        return
    async with (
        database_of_its_own(request.getfixturevalue("postgres_url")) as url,
        Site.open(folder, database_url=url, **options) as opened,
    ):
        yield opened


@asynccontextmanager
async def database_of_its_own(server_url: str) -> AsyncIterator[str]:
    """The URL of a new database on a PostgreSQL server."""
    name = f"attack_{secrets.token_hex(6)}"
    engine = create_async_engine(server_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await engine.dispose()


async def command(*arguments: str | Path) -> Outcome:
    """Run a command of the server's operator in this process: starting Python anew takes longer than its work."""
    done = await asyncio.to_thread(CliRunner().invoke, main, [*map(str, arguments), "--json"])
    return Outcome(done.exit_code, tuple(map(json.loads, done.output.splitlines())))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def enrolled(answer: httpx.Response, key: ec.EllipticCurvePrivateKey) -> Enrolment:
    assert answer.is_success, answer.text
    return Enrolment(key, message.decode(answer.content, Enrolled, max_bytes=len(answer.content)).chain)


def invented(model: str = LAMP) -> FakeDevice:
    """A device that no maker made."""
    secret = DeviceSecrets("PROV_ATTACK", "passphrase", None, None)
    return FakeDevice(SoftwareSigner(new_key()), model, "display", secret, ClassicSealKey.generate())


def certificate_for(
    maker: Maker, device: FakeDevice, model: str, *, device_id: str | None = None, key: FakeDevice | None = None
) -> bytes:
    """A maker's certificate for `device`, or over the key of another one or with another id."""
    public_key = serialization.load_der_public_key((key or device).identity.spki)
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    return maker.certify(
        public_key, device_id=device_id or device.device_id, model=model, now=datetime.now(UTC).replace(microsecond=0)
    )


def code_of(answer: httpx.Response) -> str:
    """The word of a problem document, or of OAuth's error; empty for another answer."""
    if answer.is_success or answer.headers.get("content-type") not in (
        "application/problem+json",
        "application/json",
    ):
        return ""
    return str(answer.json()["code"])


def seen(answer: httpx.Response) -> tuple[object, ...]:
    """All that tells one answer from another: status, headers and body."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "date")
    return (answer.status_code, tuple(headers), answer.content)


def _keys_before_the_server(stage: Stage) -> Keystore:
    """The keys that the first start would make: the makers' CAs must be there before it."""
    stage.data.mkdir(mode=0o700, parents=True)
    return open_keystore(stage.data / "keys", now=time.time())


def _bundle(stage: Stage, keystore: Keystore) -> bytes:
    content = {
        "origin": stage.origin,
        "configuration_root": base64url.encode(keystore.configuration_root),
        "manifest_key": base64url.encode(keystore.manifest_public_key),
    }
    return json.dumps(content).encode()


def _maker(folder: Path, name: str, bundle: bytes) -> Maker:
    return init_maker(folder, name, bundle, datetime.now(UTC).replace(microsecond=0))


def _config(folder: Path, database_url: str, policy: str) -> str:
    models = [
        device_model(LAMP, "display", "listed", ["acme"]),
        device_model(LOCK, "button", "listed", ["acme"]),
        device_model(VAULT, "display", "certified", ["acme"]),
        device_model(CAMERA, "display", "certified", ["umbrella"]),
    ]
    makers = [f'[makers.{name}]\nca_file = "{folder / name / "maker-ca.pem"}"\n' for name in ("acme", "umbrella")]
    database = f'[database]\nurl = "{database_url}"\n' if database_url else ""
    return "\n".join([database, f"[policy]\n{policy}\n[access]\naccess_token_ttl_s = 3600\n", *makers, *models])


def _send_no_mail(stage: Stage) -> None:
    """Mails stay in the outbox: nobody takes them here, and trying again and again changes the database."""
    text = stage.config.read_text()
    stage.config.write_text(text.replace(f"smtp://127.0.0.1:{stage.ports.smtp}", ""))


def _ask_for_certificates(stage: Stage) -> None:
    """Let OAuth clients prove themselves by certificates, too."""
    text = stage.config.read_text()
    stage.config.write_text(text.replace("[listen]\n", f'[listen]\nmtls = "127.0.0.1:{stage.ports.mtls}"\n'))


def _opened(folder: Path) -> FakeDevice:
    birth = decode_birth((folder / "birth.json").read_bytes())
    key = serialization.load_pem_private_key((folder / "identity.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    stored = DeviceSecrets(birth.access_point_ssid, birth.access_point_passphrase, birth.presence_key, birth.seal_key)
    seal_key = ClassicSealKey.generate() if birth.seal_key is None else SymmetricSealKey(birth.seal_key)
    return FakeDevice(SoftwareSigner(key), birth.model, birth.presence, stored, seal_key, birth.identity_certificate)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
