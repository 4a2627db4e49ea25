"""An integrity service and a server that trusts it, both as programs, and apps in the hands of an attacker.

Each attacker comes from an address of its own in 127.0.0.0/8, as one who has many addresses would.
"""

import hmac
import itertools
import secrets
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import msgspec

import admittance
from admittance.client.dpop import DpopKey
from admittance.client.integrity.service import IntegrityClient, ranges_of
from admittance.client.oauth.pkce import Pkce
from admittance.demo.ports import free_ports
from admittance.demo.processes import ADMIT, Programs
from admittance.measuring.folder import AppFolder
from admittance.protocol.integrity.answers import Subject, compute
from admittance.server.access.clients import FIRST_PARTY, Clients
from admittance.server.audit.store import AuditLog
from admittance.server.integrity.keys import sign
from admittance.server.keys.token_keys import TokenKeys
from admittance.wire import base64url
from admittance.wire.integrity import ATTESTATION_HEADER, Attested, Challenge
from tests.attack.site import Site, command

CLIENT, VERSION = FIRST_PARTY.client_id, "1.0.0"
MUST_BE_ATTESTED = "door-app"
"""A client that is let in only with an attestation; our own may do without, but then its tokens say so."""

SHIPPED = Path(admittance.__file__).parent / "client"
"""The app that is released: real code, some forty files."""

_addresses = itertools.count(2)


def own_address() -> str:
    """An address of this machine that no other attacker has."""
    number = next(_addresses)
    return f"127.{number // 250 % 250 + 1}.{number % 250 + 1}.7"


def refusal_of(answer: httpx.Response) -> str:
    """`error` of an OAuth answer (RFC 6749, section 5.2); empty if it is none."""
    return "" if answer.is_success else str(answer.json()["error"])


def attested_until(answer: httpx.Response) -> int | None:
    """Until when the server takes the app that got this access token for attested."""
    return until_of(answer.json()["access_token"])


def until_of(access_token: str) -> int | None:
    """As `attested_until`."""
    payload = access_token.split(".")[1]
    until: int | None = msgspec.json.decode(base64url.decode(payload)).get("attested_until")
    return until


@dataclass
class App:
    """An app's files, with a key that was made on the machine where it runs."""

    folder: Path
    key: DpopKey = field(default_factory=DpopKey.generate)

    def answer(self, challenge: Challenge, key: DpopKey | None = None) -> bytes:
        """What an honest app makes of its own files."""
        files = AppFolder(self.folder)
        subject = Subject(
            challenge=base64url.decode(challenge.challenge),
            nonce=base64url.decode(challenge.nonce),
            client_id=CLIENT,
            version=VERSION,
            jkt=(key or self.key).jkt,
        )
        return compute(subject, listing=files.listing(), ranges=ranges_of(challenge), read=files.read)


@dataclass(frozen=True)
class Service:
    """`admit integrity serve` with one release."""

    folder: Path
    port: int

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def config(self) -> Path:
        return self.folder / "integrity.toml"

    @property
    def released(self) -> Path:
        """The app as it is shipped."""
        return self.folder / "released"

    @property
    def ca_file(self) -> Path:
        return self.folder / "data" / "integrity-ca.pem"

    @classmethod
    async def start(cls, programs: Programs, folder: Path, policy: str) -> "Service":
        folder.mkdir(parents=True)
        (port,) = free_ports(1)
        service = cls(folder, port)
        service.config.write_text(
            f'[service]\norigin = "{service.origin}"\nlisten = "127.0.0.1:{port}"\ndata_dir = "data"\n\n'
            f"[policy]\n{policy}\n"
        )
        shutil.copytree(SHIPPED, service.released, ignore=shutil.ignore_patterns("__pycache__"))
        await service.admit("release", "add", service.released, "--client-id", CLIENT, "--version", VERSION)
        command_line = [*ADMIT, "integrity", "serve", "--config", service.config, "--json"]
        program = await programs.start(f"integrity-{folder.name}", command_line)
        await program.ready(service._healthy)
        return service

    async def admit(self, *arguments: str | Path) -> dict[str, object]:
        """A command of the service's operator."""
        done = await command("integrity", *arguments, "--config", self.config)
        assert done.code == 0, done.objects
        return done.last

    def app(self) -> App:
        """Another instance of the app as it is shipped."""
        return App(self.released)

    def copy(self, folder: Path) -> App:
        """The app in the attacker's hands."""
        return App(shutil.copytree(self.released, folder / "app"))

    def client(self, app: App, address: str | None = None) -> IntegrityClient:
        """A client with that app's key, which comes from an address of its own."""
        trust = ssl.create_default_context(cafile=self.ca_file)
        transport = httpx.AsyncHTTPTransport(verify=trust, local_address=address or own_address())
        return IntegrityClient(self.origin, key=app.key, transport=transport)

    async def challenge(self, app: App, address: str | None = None) -> Challenge:
        async with self.client(app, address) as client:
            return await client.challenge(client_id=CLIENT, version=VERSION)

    async def answer(self, app: App, challenge: Challenge, answer: bytes) -> Attested:
        async with self.client(app) as client:
            return await client.answer(challenge.challenge, answer)

    async def attest(self, app: App, address: str | None = None) -> Attested:
        """Take a challenge and answer it for the app's own files."""
        challenge = await self.challenge(app, address)
        return await self.answer(app, challenge, app.answer(challenge))

    def signed(self, app: App, **claims: object) -> str:
        """What the service would have signed at another time, or for another app."""
        now = int(time.time())
        made = {
            "iss": self.origin,
            "sub": CLIENT,
            "iat": now,
            "exp": now + 900,
            "cnf": {"jwk": app.key.public_jwk},
            "release": VERSION,
            "verifier": "measured_files",
        }
        key = TokenKeys(self.folder / "data" / "keys").signing(now)
        return sign(key, made | claims)

    async def causes(self) -> list[str]:
        """Why answers to challenges were refused, as the service's log tells."""
        lines = (self.folder.parent / "logs" / f"integrity-{self.folder.name}.log").read_bytes().splitlines()
        entries = [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]
        return [entry["cause"] for entry in entries if entry.get("event") == "integrity_refused"]

    async def _healthy(self) -> bool:
        if not self.ca_file.exists():
            return False
        trust = ssl.create_default_context(cafile=self.ca_file)
        try:
            async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
                return (await client.get(f"{self.origin}/healthz")).status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Person:
    """Their password is not what integrity is about: the attacker knows it."""

    email: str
    password: str


@dataclass(frozen=True)
class IntegritySite:
    """`strict` is a service that the server doesn't know, with a deadline of one second and little coverage."""

    site: Site
    service: Service
    strict: Service
    person: Person

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator["IntegritySite"]:
        async with AsyncExitStack() as stack:
            programs = await stack.enter_async_context(Programs(folder / "logs"))
            service = await Service.start(programs, folder / "service", "coverage_percent = 60\ndeadline_s = 60")
            strict = await Service.start(programs, folder / "strict", "coverage_percent = 60\ndeadline_s = 1")
            trusted = f'\n[integrity]\nissuer = "{service.origin}"\nca_file = "{service.ca_file}"\n'
            site = await stack.enter_async_context(Site.open(folder / "site", policy=trusted, lamps=0, locks=0))
            made = cls(site, service, strict, Person("ann@example.org", secrets.token_urlsafe(18)))
            await made._register()
            yield made

    async def _register(self) -> None:
        """Register the app as a client that must be attested, and the person who has it."""
        email, password = self.person.email, self.person.password
        invited = await command("account", "invite", email, "--config", self.site.stage.config)
        secret = invited.last["link"].partition("#")[2]
        content = {"secret": secret, "email": email, "password": password, "display_name": "Ann"}
        accepted = await self.site.attacker.post("/api/invites/accept", json=content)
        assert accepted.status_code == 201, accepted.text
        keystore = self.site.keystore
        mac_key = hmac.digest(keystore.code_key, b"admittance/access/1", "sha256")
        async with self.site.database() as database:
            clients = Clients(database=database, clock=time.time, audit=AuditLog(keystore.audit_key), mac_key=mac_key)
            attested = replace(FIRST_PARTY, client_id=MUST_BE_ATTESTED, authentication="attest_jwt_client_auth_dpop")
            await clients.add(attested, actor="operator")


@dataclass
class Phone:
    """What a person holds: an app with its key, at the authorization server."""

    at: IntegritySite
    app: App
    nonce: str | None = None

    async def post(
        self,
        path: str,
        attestation: str | None,
        *,
        client_id: str = CLIENT,
        headers: dict[str, str] | None = None,
        **form: str,
    ) -> httpx.Response:
        """Post a form with a proof by the app's key; again where the server asks for a nonce."""
        site = self.at.site
        while True:
            proof = self.app.key.proof(
                method="POST", uri=site.origin + path, now=time.time(), nonce=self.nonce, access_token=None
            )
            sent = {"dpop": proof, **(headers or {})} | ({ATTESTATION_HEADER: attestation} if attestation else {})
            answer = await site.attacker.post(path, data={"client_id": client_id, **form}, headers=sent)
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)
            if refusal_of(answer) != "use_dpop_nonce":
                return answer

    async def log_in(self, attestation: str | None, email: str, password: str, **options: str) -> httpx.Response:
        """Password and attestation for a code, code and attestation for tokens."""
        pkce = Pkce.generate()
        asked = await self.post(
            "/oauth/authorize-challenge",
            attestation,
            username=email,
            password=password,
            code_challenge=pkce.challenge,
            code_challenge_method="S256",
            **options,
        )
        if not asked.is_success:
            return asked
        return await self.redeem(attestation, asked.json()["authorization_code"], pkce.verifier, **options)

    async def redeem(self, attestation: str | None, code: str, verifier: str, **options: str) -> httpx.Response:
        return await self.post(
            "/oauth/token",
            attestation,
            grant_type="authorization_code",
            code=code,
            code_verifier=verifier,
            **options,
        )
