"""What every demonstration stands on: a folder, free ports, and the programs that run in all of them.

The server, the mail server and the premises run on loopback. Devices and phones run in empty network namespaces, so
that the premises are their only way out.
"""

import asyncio
import secrets
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import msgspec

from admittance.demo.ports import free_ports
from admittance.demo.processes import ADMIT, Outcome, Program, Programs
from admittance.premises.isolation import prefix

HOME = "Home"


@dataclass(frozen=True)
class Ports:
    people: int
    first_contact: int
    device: int
    app_relay: int
    device_relay: int
    mtls: int
    smtp: int
    sms: int

    @staticmethod
    def free() -> "Ports":
        """Find ports that nobody uses now."""
        return Ports(*free_ports(len(fields(Ports))))


@dataclass
class Stage:
    """Folder, ports and programs of one demonstration. `relay_ports` belong to relay nodes beside the server."""

    folder: Path
    programs: Programs
    ports: Ports = field(default_factory=Ports.free)
    isolated: tuple[str, ...] = field(default_factory=prefix)
    wifi_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    relay_ports: tuple[int, ...] = ()
    server: Program | None = field(default=None, init=False)

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.ports.people}"

    @property
    def config(self) -> Path:
        return self.folder / "admittance.toml"

    @property
    def data(self) -> Path:
        return self.folder / "server"

    @property
    def factory(self) -> Path:
        return self.folder / "factory"

    @property
    def premises_socket(self) -> Path:
        return self.folder / "premises.sock"

    @property
    def air_socket(self) -> Path:
        return self.folder / "air.sock"

    @property
    def controller(self) -> str:
        """The Bluetooth controller of whoever is in the premises."""
        return f"unix:{self.air_socket}"

    @property
    def people_ca(self) -> Path:
        return self.data / "people-ca.pem"

    def write_config(self, tables: str = "", *, server: str = "") -> None:
        """Write the server's configuration: TOML of more tables, such as models, and more lines of ``[server]``."""
        self.config.write_text(
            f"""\
[server]
origin = "{self.origin}"
data_dir = "{self.data}"
{server}
[listen]
people = "127.0.0.1:{self.ports.people}"
first_contact = "127.0.0.1:{self.ports.first_contact}"
device = "127.0.0.1:{self.ports.device}"
app_relay = "127.0.0.1:{self.ports.app_relay}"
device_relay = "127.0.0.1:{self.ports.device_relay}"

[mail]
smtp = "smtp://127.0.0.1:{self.ports.smtp}"
from = "Admittance <admittance@localhost>"

{tables}
""",
            encoding="utf-8",
        )

    def write_premises(self) -> Path:
        """Write the premises: the home network, a neighbour's, and the phone's way to the internet."""
        path = self.folder / "premises.toml"
        served = self.ports
        ports = (
            *(served.people, served.first_contact, served.device, served.app_relay, served.device_relay),
            *self.relay_ports,
        )
        hosts = ", ".join(f'"localhost:{port}"' for port in ports)
        path.write_text(
            f"""\
[[networks]]
ssid = "{HOME}"
passphrase = "{self.wifi_password}"
signal_dbm = -48

[[networks]]
ssid = "Neighbour"
passphrase = "{secrets.token_urlsafe(12)}"
signal_dbm = -74

[[networks]]
ssid = "mobile"
kind = "cellular"

[uplink]
hosts = [{hosts}]
""",
            encoding="utf-8",
        )
        return path

    async def serve(self) -> Program:
        """Start the server and wait until it answers."""
        self.server = await self.programs.start("server", [*ADMIT, "serve", "--config", self.config, "--json"])
        await self.server.ready(self._healthy)
        return self.server

    async def init_maker(self) -> None:
        """Make a maker for this server."""
        bundle = self.data / "maker-bundle.json"
        await self.admit("maker", "maker", "init", self.factory, "--name", "ACME", "--bundle", bundle)

    async def receive_mail(self) -> Program:
        """Start a mail server that puts mails into a Maildir."""
        command: list[str | Path] = [
            *(sys.executable, "-m", "aiosmtpd", "--nosetuid"),
            *("--listen", f"127.0.0.1:{self.ports.smtp}"),
            *("--class", "aiosmtpd.handlers.Mailbox", self.folder / "mail"),
        ]
        program = await self.programs.start("mail", command)
        await program.ready(lambda: listens(self.ports.smtp))
        return program

    async def receive_sms(self) -> str:
        """Start an SMS gateway, and return the server's configuration of it."""
        token = self.secret_file("sms-token", secrets.token_urlsafe(18))
        command: list[str | Path] = [
            *(sys.executable, "-m", "admittance.demo.sms_gateway"),
            *("--listen", f"127.0.0.1:{self.ports.sms}", "--token-file", token, "--out", self._sms_file),
        ]
        program = await self.programs.start("sms", command)
        await program.ready(lambda: listens(self.ports.sms))
        return f"""\
[sms]
provider = "http"
url = "http://127.0.0.1:{self.ports.sms}/"
token_file = "{token}"

"""

    async def open_premises(self, *, bluetooth: bool = False) -> Program:
        """Start the simulated premises and wait until stations can attach, to `controller` too if asked."""
        air: tuple[str | Path, ...] = ("--air", self.air_socket) if bluetooth else ()
        command: list[str | Path] = [
            *(*ADMIT, "premises", "run", "--file", self.write_premises()),
            *("--socket", self.premises_socket, *air),
        ]
        program = await self.programs.start("premises", command)
        await program.ready(self._open_to_stations)
        return program

    async def admit(self, name: str, *arguments: str | Path, **options: Any) -> Outcome:
        """Run one `admit` command to its end."""
        return await self.programs.run(name, [*ADMIT, *arguments, "--json"], **options)

    async def admit_isolated(self, name: str, *arguments: str | Path, **options: Any) -> Outcome:
        """Run one `admit` command to its end, without any network of the host."""
        return await self.programs.run(name, [*self.isolated, *ADMIT, *arguments, "--json"], **options)

    async def start_device(self, name: str, *arguments: str | Path) -> Program:
        """Start a device's agent, without any network of the host."""
        return await self.programs.start(name, [*self.isolated, *ADMIT, "device", "run", *arguments])

    def secret_file(self, name: str, *lines: str) -> Path:
        """Write lines to a file of mode 0600 and return its path."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def mails(self) -> list[EmailMessage]:
        """Return the mails that arrived, in no particular order."""
        folder = self.folder / "mail" / "new"
        found = folder.iterdir() if folder.exists() else ()
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]

    def sms(self) -> list[str]:
        """Return the texts that the SMS gateway took, in the order of their arrival."""
        lines = self._sms_file.read_bytes().splitlines() if self._sms_file.exists() else []
        return [str(msgspec.json.decode(line)["text"]) for line in lines]

    @property
    def _sms_file(self) -> Path:
        return self.folder / "sms.jsonl"

    def _client(self) -> httpx.AsyncClient:
        context = ssl.create_default_context(cafile=self.people_ca)
        return httpx.AsyncClient(base_url=self.origin, verify=context, trust_env=False)

    async def _healthy(self) -> bool:
        if not self.people_ca.exists():
            return False
        try:
            async with self._client() as client:
                return (await client.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    async def _open_to_stations(self) -> bool:
        return self.premises_socket.exists()


async def listens(port: int) -> bool:
    """Return whether a program of this machine takes connections at `port`."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def device_model(name: str, presence: str, assurance: str, makers: Sequence[str]) -> str:
    """Return the configuration of one model."""
    allowed = ", ".join(f'"{maker}"' for maker in makers)
    return f"""\
[models."{name}"]
display_name = "{name}"
presence = "{presence}"
minimum_assurance = "{assurance}"
makers = [{allowed}]
"""
