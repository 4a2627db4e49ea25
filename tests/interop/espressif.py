"""Espressif's own client side (PyPI `esp-rainmaker-cli`), and our device behind a real HTTP server for it."""

import asyncio
import importlib
import json
import secrets
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from admittance.device.access_point import AccessPointServer
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.codes import CodeBook, PossessionCode, RotatingCodes
from admittance.protocol.provisioning.device import Capabilities, ProvisioningDevice, Reply
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE
from admittance.wire.protocomm.scan import ScannedNetwork

NETWORKS = tuple(
    ScannedNetwork(f"Home {index}", bytes([2, 0, 0, 0, 0, index]), 1 + index, -40 - index, "wpa2")
    for index in range(9)
)
HOME, PASSPHRASE = "Home 3", "correct horse battery"


def load() -> Any:
    """Espressif's provisioning module. Its import uses a method that Python deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the load_module", DeprecationWarning)
        return importlib.import_module("rmaker_tools.rmaker_prov.prov.prov_util")


class Device:
    """Our machine with a shell that answers each command at once."""

    def __init__(self, *, owned: bool = False) -> None:
        self.now = 1000.0
        self.rotating = RotatingCodes()
        self.commands: list[object] = []
        self.machine = ProvisioningDevice(
            codes=CodeBook(rotating=self.rotating),
            capabilities=Capabilities("display"),
            application={},
            stock_endpoints=stock.StockEndpoints(lambda endpoint, now: not owned),
            boot_key=secrets.token_bytes(32),
        )

    def shown(self) -> PossessionCode:
        return self.rotating.shown(self.now, secrets.token_bytes)

    async def receive(self, endpoint: str, cookie: str | None, body: bytes) -> Reply:
        reply = self.machine.receive(endpoint, cookie, body, self.now, secrets.token_bytes)
        for command in self.machine.drain():
            self.commands.append(command)
            match command:
                case stock.StartScan():
                    self.machine.notify(stock.ScanFinished(NETWORKS))
                case stock.JoinNetwork(ssid, passphrase, attempt):
                    right = (ssid, passphrase) == (HOME, PASSPHRASE)
                    cause = "" if right else "wrong_password" if ssid == HOME else "not_found"
                    self.machine.notify(stock.JoinFinished(attempt, cause, "10.0.0.7"))
        return reply


@asynccontextmanager
async def serving(device: Device) -> AsyncIterator[str]:
    """``host:port`` of the device's access point, on a free port of the loopback."""
    server = await asyncio.start_server(AccessPointServer(device.receive).serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


class Client:
    """Espressif's functions, called as its command-line program calls them. Blocking."""

    def __init__(self, address: str, code: PossessionCode) -> None:
        self._espressif = load()
        self._transport = self._espressif.get_transport("softap", address)
        version = json.loads(self._transport.send_data("proto-ver", "---"))["prov"]
        self.security = self._espressif.get_security(
            version["sec_ver"], version["sec_patch_ver"], code.code_id, code.code
        )

    def open(self) -> bool:
        """Open a session. About every 256th public value of this client is a byte short, which devices refuse."""
        from rmaker_tools.common.security import srp6a

        draw: Callable[[int], int] = srp6a.get_random_of_length
        srp6a.get_random_of_length = lambda size: _draw_full_length(draw, size)
        try:
            return bool(self._espressif.establish_session(self._transport, self.security))
        finally:
            srp6a.get_random_of_length = draw

    def scan(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._espressif.scan_wifi_APs("softap", self._transport, self.security)
        return found

    def set_network(self, ssid: str, passphrase: str) -> bool:
        return bool(self._espressif.send_wifi_config(self._transport, self.security, ssid, passphrase))

    def apply(self) -> bool:
        return bool(self._espressif.apply_wifi_config(self._transport, self.security))

    def status(self) -> str:
        return str(self._espressif.get_wifi_config(self._transport, self.security))

    def reset(self) -> bool:
        return bool(self._espressif.ctrl_reset(self._transport, self.security))

    def close(self) -> None:
        self._transport.conn.close()


def _draw_full_length(draw: Callable[[int], int], size: int) -> int:
    suite = PROVISIONING_SUITE
    while True:
        exponent = draw(size)
        if suite.pad(suite.client_public(exponent))[0] != 0:
            return exponent
