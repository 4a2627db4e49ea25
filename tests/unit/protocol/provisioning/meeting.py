"""A device and a phone on one bench: both machines, joined by a function call, with a clock and a recorder."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.client import ProvisioningClient, Request, Response
from admittance.protocol.provisioning.codes import ButtonWindow, CodeBook, PossessionCode, RotatingCodes
from admittance.protocol.provisioning.device import (
    Capabilities,
    Command,
    ProvenSession,
    ProvisioningDevice,
    SecureEndpoint,
)
from admittance.wire.protocomm import session as session_messages
from admittance.wire.protocomm.session import Command0, Command1, Response0, Response1

PUBLIC = b"\x11" * 384


def echo(session: ProvenSession, request: bytes, now: float) -> bytes:
    return request


@dataclass
class Meeting:
    """`exchange` carries requests to the device; `alter` may change or drop what travels."""

    owned: bool = False
    application: Mapping[str, SecureEndpoint] = field(default_factory=lambda: {"admit-echo": echo})
    networks: tuple[stock.ScannedNetwork, ...] = ()
    chunk_bytes: int = 3500

    def __post_init__(self) -> None:
        self.now = 100.0
        self.rotating = RotatingCodes()
        self.codes = CodeBook(rotating=self.rotating)
        self.device = ProvisioningDevice(
            codes=self.codes,
            capabilities=Capabilities("display"),
            application=self.application,
            stock_endpoints=stock.StockEndpoints(lambda endpoint, now: not self.owned),
            boot_key=b"\x07" * 32,
            chunk_bytes=self.chunk_bytes,
        )
        self.sent: list[Request] = []
        self.received: list[Response] = []
        self.commands: list[Command] = []
        self.alter_request: Callable[[Request], Request] = lambda request: request
        self.alter_response: Callable[[Response], Response] = lambda response: response

    def exchange(self, request: Request) -> Response:
        self.sent.append(request)
        request = self.alter_request(request)
        response = self.post(request.endpoint, request.body, request.cookie)
        self.received.append(response)
        return self.alter_response(response)

    def post(self, endpoint: str, body: bytes, cookie: str | None = None) -> Response:
        """One request that nobody records."""
        reply = self.device.receive(endpoint, cookie, body, self.now, secrets.token_bytes)
        for command in self.device.drain():
            self.commands.append(command)
            if isinstance(command, stock.StartScan):
                self.device.notify(stock.ScanFinished(self.networks))
        return Response(reply.status, reply.body, reply.cookie)

    def shown(self) -> PossessionCode:
        return self.rotating.shown(self.now, secrets.token_bytes)

    def press(self, presence_key: bytes) -> ButtonWindow:
        window = ButtonWindow(presence_key, self.now, secrets.token_bytes)
        self.codes.open_window(window)
        return window

    def client(self, code: PossessionCode | None = None) -> ProvisioningClient:
        code = code or self.shown()
        return ProvisioningClient(code.code_id, code.code, secrets.token_bytes, chunk_bytes=self.chunk_bytes)

    def challenge(
        self, username: str, public: bytes = PUBLIC, cookie: str | None = None
    ) -> tuple[Response0, str | None]:
        """The first command of a handshake by itself, and the cookie that it gave."""
        body = session_messages.encode_command(Command0(username, public))
        response = self.post(stock.SESSION, body, cookie)
        return session_messages.decode_response0(response.body), response.cookie

    def prove(self, proof: bytes, cookie: str | None) -> Response1:
        """The second command of a handshake by itself."""
        response = self.post(stock.SESSION, session_messages.encode_command(Command1(proof)), cookie)
        return session_messages.decode_response1(response.body)
