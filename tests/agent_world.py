"""A device agent as a process of its own, with premises, a phone, and a server of the test's own around it."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admittance.client.scan import read_picture
from admittance.device.control import ask
from admittance.device.keys import Made
from admittance.premises.station import Observer, Station
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.enrolment.reset import read_reset_report
from admittance.protocol.provisioning.client import ProvisioningClient, Request, Response, read_version, run
from admittance.protocol.provisioning.codes import button_code
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import Network, encrypt_network
from admittance.wire import message, possession_qr
from admittance.wire import provisioning_messages as wire
from admittance.wire.birth import Presence, Seal
from admittance.wire.enrolment import DeviceStatus, Enrolled, Nonce, NonceRequest
from admittance.wire.evidence import Evidence
from admittance.wire.possession_qr import PossessionQr
from tests.premises_world import premises_server
from tests.tls_material import Authority, server_context
from tests.unit.device.births import make_birth
from tests.unit.protocol.provisioning.sealing_server import SealingServer, certificate, der

HOME = Network("Home", "correct horse")
APP_KEY = b"a" * 32
PATIENCE_S = 30.0


@dataclass
class Server:
    """First contact and device listener of one device's server; `refuse` refuses everything signed or certified."""

    directory: Path
    made: Made | None = None
    refuse: bool = False
    requests: list[str] = field(default_factory=list)
    tickets: dict[bytes, bytes] = field(default_factory=dict)
    certificates: dict[bytes, bytes] = field(default_factory=dict)
    resets: list[int] = field(default_factory=list)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.authority = Authority("anchor")
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = certificate("devices", self.ca_key, "devices", self.ca_key, ca=True)
        self.nonce = b""
        self._servers: list[asyncio.Server] = []

    async def start(self) -> tuple[int, int]:
        leaf = self.leaf = self.authority.issue("localhost")
        ports = []
        for client_anchor in (None, der(self.ca)):
            context = server_context(leaf, self.directory, client_anchor)
            server = await asyncio.start_server(self._serve, "localhost", 0, ssl=context)
            self._servers.append(server)
            ports.append(server.sockets[0].getsockname()[1])
        return ports[0], ports[1]

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: dict[str, Any] = {}
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            last = False
            while not last:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split()[1]
                headers = dict(line.lower().split(": ") for line in head.split("\r\n")[1:] if line)
                last = headers.get("connection") == "close"
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(path)
                status, answer = self.answer(path, body, connection)
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    def answer(self, path: str, body: bytes, connection: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body; `connection` is what there is to remember of one TLS connection."""
        assert self.made is not None
        now = int(self.clock())
        if path == "/enrolment/reachable":
            return 204, b""
        if path == "/enrolment/nonce":
            message.decode(body, NonceRequest)
            self.nonce = os.urandom(32)
            return 200, message.encode(Nonce(self.nonce, now))
        if self.refuse:
            return 401, json.dumps({"code": "authentication_failed"}).encode()
        if path == "/enrolment/requests":
            verified = read_request(body).verify(self.made.identity.spki, self.nonce)
            return self.issued(verified.operational_spki, verified.ticket)
        if path == "/enrolment/resets":
            self.resets.append(read_reset_report(body).verify(self.made.identity.spki, self.nonce).resets)
            return 204, b""
        assert path == "/device/status"
        return 200, message.encode(DeviceStatus(self.made.birth.device_id, 1, now, 3600))

    def issued(self, spki: bytes, ticket: bytes) -> tuple[int, bytes]:
        """The answer to a request that holds."""
        if ticket and self.tickets.setdefault(ticket, spki) != spki:
            return 409, json.dumps({"code": "ticket_used"}).encode()
        chain = [self.certificates.setdefault(spki, self._issue(spki)), der(self.ca)]
        return 200, message.encode(Enrolled(chain, int(self.clock()), 3600))

    def _issue(self, spki: bytes) -> bytes:
        assert self.made is not None
        key = serialization.load_der_public_key(spki)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.made.birth.device_id)])
        return der(
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.ca.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.ca.not_valid_before_utc.replace(year=2026))
            .not_valid_after(self.ca.not_valid_after_utc)
            .sign(self.ca_key, hashes.SHA256())
        )


class AgentProcess:
    """`admit device run`, and the events that it logs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())
        self._news = asyncio.Condition()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            async with self._news:
                self.events.append(json.loads(line) if line.startswith(b"{") else {"event": "?", "line": line})
                self._news.notify_all()

    async def event(self, name: str, after: int = 0) -> dict[str, Any]:
        """Wait for an event of that name, past the first `after` events."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events[after:] if event["event"] == name]

        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                await self._news.wait_for(lambda: bool(found()))
        except TimeoutError:
            raise AssertionError(f"no {name} among {self.events[after:]}") from None
        return found()[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def status_kb(self, name: str) -> int:
        """A line of /proc/PID/status in kB, such as ``VmHWM``."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:"))

    async def kill(self) -> None:
        """As a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()
        await self._reader


@dataclass
class World:
    """`seal` makes configurations for this device; `start` runs its agent on the same disk again."""

    directory: Path
    socket: Path
    server: Server
    sealing: SealingServer
    made: Made
    environment: Mapping[str, str]
    command: tuple[str, ...]
    agents: list[AgentProcess] = field(default_factory=list)
    phone: Station | None = None

    @property
    def state(self) -> Path:
        return self.directory / "state"

    async def start(self, *options: str) -> AgentProcess:
        agent = await self.launch(*options)
        await agent.event("started")
        return agent

    async def launch(self, *options: str) -> AgentProcess:
        """Start the agent, which may refuse to run."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *("device", "run", "--json", "--birth", str(self.directory / "birth"), "--state", str(self.state)),
            *("--premises", str(self.socket), "--display", f"png:{self.directory / 'screen.png'}"),
            *("--poll-s", "0.3", "--linger-s", "1", *options),
            stderr=asyncio.subprocess.PIPE,
            env=dict(self.environment),
        )
        agent = AgentProcess(process)
        self.agents.append(agent)
        return agent

    def scan(self) -> PossessionQr:
        """Read the device's screen."""
        return possession_qr.decode(read_picture(self.directory / "screen.png"))

    async def meet(self) -> "Phone":
        """Join the access point and open a session with the code on the screen."""
        qr = self.scan()
        self.phone = self.phone or await Station.attach(self.socket, "phone", cellular=True)
        await self.phone.join(qr.name, qr.password)
        phone = Phone(self, self.phone, ProvisioningClient(qr.username, qr.pop, os.urandom))
        await run(phone.client.open(), phone.exchange)
        return phone

    async def press_and_meet(self) -> "Phone":
        """Press the button, and prove presence by the code that the server computes from the window."""
        await ask(self.state, "press")
        birth = self.made.birth
        self.phone = self.phone or await Station.attach(self.socket, "phone", cellular=True)
        await self.phone.join(birth.access_point_ssid, birth.access_point_passphrase)
        seen = Phone(self, self.phone, ProvisioningClient("", "", os.urandom))
        version = await run(read_version(), seen.exchange)
        assert version.admit
        assert birth.presence_key is not None
        nonce = version.admit.window_nonce
        assert nonce is not None
        code = button_code(birth.presence_key, nonce)
        phone = Phone(self, self.phone, ProvisioningClient(code.code_id, code.code, os.urandom))
        await run(phone.client.open(), phone.exchange)
        return phone

    async def observer(self) -> Observer:
        return await Observer.attach(self.socket)

    async def onboarded(self) -> AgentProcess:
        """A running device that has its owner, network and certificate."""
        agent = await self.start()
        await agent.event("code_shown")
        phone = await self.meet()
        await phone.configure()
        await phone.send_network(1, HOME)
        await agent.event("enrolled")
        await agent.event("status")
        await agent.event("access_point_closed")
        return agent


class Phone:
    """An app that knows the answers of the server beforehand."""

    def __init__(self, world: World, station: Station, client: ProvisioningClient) -> None:
        self._world = world
        self._station = station
        self.client = client
        self.challenge = os.urandom(32)
        self.transaction_id = b""

    async def exchange(self, request: Request) -> Response:
        reader, writer = await self._station.open_connection("192.168.4.1", 80)
        cookie = f"Cookie: session={request.cookie}\r\n" if request.cookie else ""
        head = f"POST /{request.endpoint} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{cookie}"
        writer.write(f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body)
        answer = await reader.read(-1)
        writer.close()
        top, _, body = answer.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        new = [line.partition("session=")[2] for line in lines if line.lower().startswith("set-cookie")]
        return Response(int(lines[0].split()[1]), body, new[0] if new else None)

    async def ask(self, endpoint: str, request: message.Message, expected: type[Any]) -> Any:
        return await run(self.client.ask(endpoint, request, expected), self.exchange)

    async def evidence(self) -> Evidence:
        answer = await self.ask(wire.EVIDENCE, wire.EvidenceRequest(self.challenge), wire.EvidenceAnswer)
        self.transaction_id = answer.transaction_id
        return read_evidence(answer.evidence).evidence

    async def configure(self, channel: bytes = b"", **options: Any) -> wire.ConfigurationAnswer:
        """Bring a sealed configuration; `channel` is the key of an app that is to be listed."""
        sealed = self._world.sealing.seal(
            await self.evidence(), server_time=int(self._world.server.clock()), **options
        )
        request = wire.ConfigurationRequest(sealed, APP_KEY, channel, name="phone" if channel else "")
        answer = await self.ask(wire.CONFIG, request, wire.ConfigurationAnswer)
        assert isinstance(answer, wire.ConfigurationAnswer)
        return answer

    async def send_network(self, attempt: int, network: Network) -> None:
        salt = os.urandom(32)
        device_id = self._world.made.birth.device_id
        ciphertext = encrypt_network(APP_KEY, salt, device_id, self.transaction_id, attempt, network)
        await self.ask(wire.NETWORK, wire.NetworkRequest(attempt, salt, ciphertext), wire.NetworkAnswer)

    async def status(self, *states: str) -> wire.Status:
        """Ask until the state is one of `states`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status = await self.ask(wire.STATUS, wire.StatusRequest(), wire.Status)
                assert isinstance(status, wire.Status)
                if status.state in states:
                    return status
                await asyncio.sleep(0.05)


@asynccontextmanager
async def agent_world(
    directory: Path,
    *,
    command: tuple[str, ...] = (sys.executable, "-m", "admittance"),
    environment: Mapping[str, str] = os.environ,
    presence: Presence = "display",
    seal: Seal = "hybrid",
    server: Server | None = None,
    relay_urls: Sequence[str] = (),
    server_channel: bytes = b"",
    make: Callable[..., Made] = make_birth,
) -> AsyncIterator[World]:
    """A device that nobody owns, before its first power-up; `make` makes it. Its configurations name the relay and
    the channel key of its server."""
    server = server or Server(directory)
    first_contact, device = await server.start()
    origin = f"https://localhost:{first_contact}"
    sealing = SealingServer(
        origin=origin,
        anchors=[server.authority.certificate],
        first_contact_url=origin,
        device_url=f"https://localhost:{device}",
        relay_urls=relay_urls,
        server_channel=server_channel,
    )
    server.made = make(
        directory / "birth", origin=origin, root_spki_sha256=sealing.root_spki_sha256, presence=presence, seal=seal
    )
    relays = [url.partition("://")[2] for url in relay_urls]
    hosts = [f"localhost:{first_contact}", f"localhost:{device}", *relays]
    async with premises_server(directory, hosts) as socket:
        world = World(directory, socket, server, sealing, server.made, environment, command)
        try:
            yield world
        finally:
            for agent in world.agents:
                await agent.kill()
            if world.phone is not None:
                await world.phone.close()
            await server.close()
