"""A real server behind `admit` commands, over TLS with a certificate of its own CA."""

import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from admittance.cli import main
from admittance.cli.profile import with_client
from admittance.client.api import ApiClient
from admittance.client.api_types import Activation, decode_bytes
from admittance.client.session_store import SessionStore
from admittance.demo.ports import free_ports
from admittance.protocol.sealing import ClassicSealKey, spki_sha256
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keystore import Keystore, open_keystore
from admittance.wire import message
from admittance.wire.enrolment import Factor, Nonce, NonceRequest
from admittance.wire.manifest import DeviceSecrets, ManifestEntry, encode_line, encode_secrets, secrets_info
from tests.device_world import FakeDevice

EMAIL = "anna@example.org"
PASSWORD = "correct horse battery"

_CBOR = {"content-type": "application/cbor"}
_MANIFEST_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

T = TypeVar("T")


@dataclass
class Site:
    """A running server, and the files of the people who use it, each with a profile of their own."""

    folder: Path
    origin: str
    first_contact: str

    def admit(self, *arguments: str, stdin: str = "", profile: str = "profile") -> Result:
        environment = {"ADMITTANCE_PROFILE": str(self.folder / profile)}
        return CliRunner(env=environment).invoke(main, arguments, input=stdin)

    def account(self, *arguments: str, stdin: str = "") -> Result:
        return self.admit("account", *arguments, stdin=stdin)

    def object(self, *arguments: str, stdin: str = "", profile: str = "profile") -> Any:
        """What a command that must succeed prints with ``--json``."""
        done = self.admit(*arguments, "--json", stdin=stdin, profile=profile)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refusal(self, *arguments: str, stdin: str = "", profile: str = "profile") -> tuple[int, str]:
        """Exit code and error of a command that must fail, which it prints with ``--json``."""
        failed = self.admit(*arguments, "--json", stdin=stdin, profile=profile)
        assert failed.exit_code != 0, failed.output
        return failed.exit_code, json.loads(failed.stdout)["error"]

    def text(self, *arguments: str, stdin: str = "", profile: str = "profile") -> str:
        """What a command that must succeed tells a person."""
        done = self.admit(*arguments, stdin=stdin, profile=profile)
        assert done.exit_code == 0, done.output
        return done.stdout

    @property
    def trust(self) -> list[str]:
        return ["--ca-file", str(self.folder / "data" / "people-ca.pem")]

    @property
    def config(self) -> list[str]:
        return ["--config", str(self.folder / "server.toml")]

    def invite(self, *options: str, email: str = EMAIL) -> str:
        made = self.account("invite", email, *self.config, "--json", *options)
        link: str = json.loads(made.output)["link"]
        return link

    def login(self, password: str = PASSWORD, *, email: str = EMAIL, profile: str = "profile") -> Result:
        file = self.folder / "password.txt"
        file.write_text(password + "\n")
        login = ("account", "login", email, "--server", self.origin, "--password-file", str(file), *self.trust)
        return self.admit(*login, profile=profile)

    def join(self, name: str, *options: str) -> None:
        """Make the account ``name@example.org`` and log its profile `name` in."""
        email = f"{name}@example.org"
        file = self.folder / "first.txt"
        file.write_text(PASSWORD)
        accept = ("account", "accept", "--link-file", "-", "--email", email, "--name", name.title(), *self.trust)
        self.text(*accept, "--password-file", str(file), stdin=self.invite(*options, email=email))
        assert self.login(email=email, profile=name).exit_code == 0

    def ask(self, work: Callable[[ApiClient], Awaitable[T]], profile: str = "profile") -> T:
        """Use the people API as the app of that profile does."""
        return with_client(SessionStore(self.folder / profile), work)

    @cached_property
    def keystore(self) -> Keystore:
        return open_keystore(self.folder / "data" / "keys", now=time.time(), create=False)

    def device(self, model: str) -> FakeDevice:
        """A device as its maker made it; the server does not know it yet."""
        identity = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
        secret = DeviceSecrets("PROV_CLI", secrets.token_hex(8), None, None)
        return FakeDevice(identity, model, "display", secret, ClassicSealKey.generate())

    def manifest(self, *devices: FakeDevice) -> Path:
        """The maker's list of these devices."""
        file = self.folder / "manifest.jsonl"
        file.write_bytes(b"".join(self._line(device) + b"\n" for device in devices))
        return file

    def _line(self, device: FakeDevice) -> bytes:
        sealed = _MANIFEST_SUITE.encrypt(
            encode_secrets(device.secrets), self.keystore.manifest_key.public_key(), secrets_info(device.device_id)
        )
        identity = device.identity.spki
        return encode_line(ManifestEntry(device.device_id, device.model, "display", identity, None, sealed))

    def listed(self, model: str) -> FakeDevice:
        """A device that the server took from a manifest."""
        device = self.device(model)
        assert self.object("devices", "import", str(self.manifest(device)), *self.config)["added"] == 1
        return device

    def claim(self, device: FakeDevice, profile: str) -> bytes:
        """Activate `device` for the account of that profile; gives its ticket."""
        binding = os.urandom(32)

        async def activate(client: ApiClient) -> Activation:
            challenge = decode_bytes((await client.challenge()).challenge)
            evidence = device.evidence(challenge, binding, server_origin=self.origin)
            return await client.activate(
                challenge=challenge, evidence=evidence, binding=binding, transaction_id=b"t" * 16
            )

        root = spki_sha256(x509.load_der_x509_certificate(self.keystore.configuration_root))
        return device.open(decode_bytes(self.ask(activate, profile).sealed), root).configuration.ticket

    def hand_in(self, device: FakeDevice, ticket: bytes, factor: Factor | None = None) -> httpx.Response:
        """Ask for a certificate as the device would."""
        context = ssl.create_default_context(cadata=self.keystore.tls_anchor.certificate_pem.decode())
        with httpx.Client(base_url=self.first_contact, verify=context, headers=_CBOR, trust_env=False) as http:
            answer = http.post("/enrolment/nonce", content=message.encode(NonceRequest(device.device_id)))
            nonce = message.decode(answer.content, Nonce).nonce
            key = ec.generate_private_key(ec.SECP256R1())
            return http.post("/enrolment/requests", content=device.enrolment(key, nonce, ticket, factor))

    def enrolled(self, model: str, profile: str) -> FakeDevice:
        """A device with a certificate, owned by the account of that profile."""
        device = self.listed(model)
        answer = self.hand_in(device, self.claim(device, profile))
        assert answer.status_code == 201, answer.text
        return device


@contextmanager
def running_site(folder: Path, settings: str = "") -> Iterator[Site]:
    """`admit serve` with these settings (TOML), until the block ends."""
    people, first_contact, device, app_relay, device_relay = free_ports(5)
    (folder / "server.toml").write_text(
        f'[server]\norigin = "https://localhost:{people}"\ndata_dir = "data"\n'
        f'[listen]\npeople = "127.0.0.1:{people}"\nfirst_contact = "127.0.0.1:{first_contact}"\n'
        f'device = "127.0.0.1:{device}"\napp_relay = "127.0.0.1:{app_relay}"\n'
        f'device_relay = "127.0.0.1:{device_relay}"\n{settings}'
    )
    command = [sys.executable, "-c", "from admittance.cli import run; run()", "serve"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--config", str(folder / "server.toml")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("Ready"):
                    break
            yield Site(folder, f"https://localhost:{people}", f"https://localhost:{first_contact}")
        finally:
            server.terminate()
            server.stdout.close()
            server.wait()
