"""A TLS connection that somebody holds open with a device's certificate, to see when it stops to be of use."""

import asyncio
import os
import ssl
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import h11
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509 import load_der_x509_certificate

from admittance.demo.steps import NotShown, require
from admittance.device.state import StateFile

STATUS_PATH = "/device/status"
ASK_INTERVAL_S = 0.02
DEADLINE_S = 20.0


class HeldConnection:
    """One connection to the device listener that is never opened again."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, state: Path) -> Self:
        """Connect with the certificate in the state folder of a device."""
        record = StateFile(state).load()
        if record is None or record.operational is None or record.server is None:
            raise NotShown(f"The device in {state} holds a certificate.")
        url = urlsplit(record.server.device_url)
        context = ssl.create_default_context(cadata=b"".join(record.server.anchors))
        with tempfile.NamedTemporaryFile(dir=state) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(_pem(record.operational.key, record.operational.chain))
            file.flush()
            context.load_cert_chain(file.name)
        host = url.hostname or ""
        reader, writer = await asyncio.open_connection(host, url.port, ssl=context)
        return cls(host, reader, writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def ask(self) -> int:
        """Ask for the device's status and return the answer's code; 0 when the connection was ended."""
        request = h11.Request(method="GET", target=STATUS_PATH, headers=[("host", self._host)])
        try:
            self._writer.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
            await self._writer.drain()
            return await self._answer()
        except (OSError, ssl.SSLError, h11.RemoteProtocolError):
            return 0

    async def refused_after_s(self) -> float:
        """Keep asking, and return the seconds until the first refusal."""
        started = time.monotonic()
        while await self.ask() == 200:
            require(time.monotonic() - started < DEADLINE_S, "The held connection is refused.")
            await asyncio.sleep(ASK_INTERVAL_S)
        return time.monotonic() - started

    async def _answer(self) -> int:
        code = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(4096))
            elif isinstance(event, h11.Response):
                code = event.status_code
            elif isinstance(event, h11.ConnectionClosed):
                return code
            elif isinstance(event, h11.EndOfMessage):
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                return code


def _pem(key: bytes, chain: list[bytes]) -> bytes:
    private = load_der_private_key(key, password=None)
    encoded = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificates = [load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in chain]
    return encoded + b"".join(certificates)
