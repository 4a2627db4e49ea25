"""The bus of many nodes: core NATS, at most once. https://docs.nats.io/reference/reference-protocols/nats-protocol

Each connection is a client of its own, so nothing that was queued for a connection that ended goes out on the next:
what was lost stays lost, and who counts messages notices.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from admittance.errors import Misuse, Unavailable
from admittance.server.bus.credentials import BusCredentials
from admittance.server.bus.port import MAX_MESSAGE_BYTES, Handler, Responder

MAX_QUEUED_BYTES = 16 * 1024 * 1024
CONNECT_WITHIN_S = 2
RECONNECT_AFTER_S = 0.2
CLOSE_WITHIN_S = 1.0
LOOK_AFTER_S = 1.0
PING_EVERY_S = 1
MAX_PENDING_BYTES = 16 * 1024 * 1024

_ANSWERED, _FAILED = b"\x00", b"\x01"
_Callback = Callable[[Msg], Awaitable[None]]

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class NatsServers:
    """`urls` are ``nats://host:port`` or ``tls://host:port``; `tls` is needed for the latter."""

    urls: Sequence[str]
    prefix: str = "admittance"
    tls: ssl.SSLContext | None = None
    credentials: BusCredentials | None = None


class NatsBus:
    """Subjects begin with the prefix, so that several servers can share one NATS."""

    is_shared = True

    def __init__(self, servers: NatsServers) -> None:
        self._servers = servers
        self._subscriptions: list[tuple[str, _Callback]] = []
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued_bytes = 0
        self._queued = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._running: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    async def start(self) -> None:
        self._running = asyncio.create_task(self._run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self._up.wait()

    async def close(self) -> None:
        if self._client is not None:
            with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._written.wait()
                    await self._client.flush()
        tasks = [task for task in (self._running, *self._answering) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def publish(self, subject: str, data: bytes) -> None:
        if len(data) > MAX_MESSAGE_BYTES:
            raise Misuse("A message is too long for the bus.")
        if not self.connected or self._queued_bytes + len(data) > MAX_QUEUED_BYTES:
            return
        self._queue.append((self._full(subject), data))
        self._queued_bytes += len(data)
        self._written.clear()
        self._queued.set()

    async def subscribe(self, subject: str, handler: Handler) -> None:
        async def received(message: Msg) -> None:
            try:
                handler(message.data)
            except Exception as error:
                log.error("bus_handler_failed", subject=subject, exc_info=error)

        await self._subscribe(self._full(subject), received)

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        client = self._client
        if client is None or not client.is_connected:
            raise Unavailable("The bus is not connected.")
        try:
            answer = await client.request(self._full(subject), data, timeout=timeout_s)
        except nats.errors.NoRespondersError:
            raise Unavailable("Nobody answers on the bus.") from None
        except (nats.errors.Error, OSError, TimeoutError):
            raise Unavailable("No answer came over the bus in time.") from None
        if not answer.data.startswith(_ANSWERED):
            raise Unavailable("The answer on the bus failed.")
        return bytes(answer.data[1:])

    async def serve(self, subject: str, responder: Responder) -> None:
        async def answer(message: Msg) -> None:
            try:
                answered = _ANSWERED + await responder(message.data)
            except Exception as error:
                log.error("bus_responder_failed", subject=subject, exc_info=error)
                answered = _FAILED
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.respond(answered)

        async def received(message: Msg) -> None:
            task = asyncio.create_task(answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        await self._subscribe(self._full(subject), received)

    def _full(self, subject: str) -> str:
        return f"{self._servers.prefix}.{subject}"

    async def _subscribe(self, subject: str, callback: _Callback) -> None:
        self._subscriptions.append((subject, callback))
        client = self._client
        if client is not None and client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await client.subscribe(subject, cb=callback, pending_bytes_limit=MAX_PENDING_BYTES)
                await client.flush(timeout=CONNECT_WITHIN_S)

    async def _run(self) -> None:
        """One connection after the other, until cancelled."""
        is_first_failure = True
        while True:
            try:
                await self._connection()
                is_first_failure = True
            except (OSError, nats.errors.Error, TimeoutError) as error:
                if is_first_failure:
                    log.warning("bus_unreachable", reason=str(error) or type(error).__name__)
                is_first_failure = False
            await asyncio.sleep(RECONNECT_AFTER_S)

    async def _connection(self) -> None:
        """Connect, and hold the connection until it is lost. Raises what connecting raised."""
        lost = asyncio.Event()
        client = _TlsClient() if self._servers.tls is not None else Client()
        try:
            await client.connect(**self._options(client, lost))
            for subject, callback in tuple(self._subscriptions):
                await client.subscribe(subject, cb=callback, pending_bytes_limit=MAX_PENDING_BYTES)
            await client.flush(timeout=CONNECT_WITHIN_S)
            self._client = client
            self._up.set()
            log.info("bus_connected", server=client.connected_url.netloc if client.connected_url else "")
            await self._hold(client, lost)
            log.warning("bus_lost")
        finally:
            self._client = None
            self._queue.clear()
            self._queued_bytes = 0
            self._written.set()
            with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
                await asyncio.wait_for(client.close(), CLOSE_WITHIN_S)

    async def _hold(self, client: Client, lost: asyncio.Event) -> None:
        writer = asyncio.create_task(self._write(client, lost))
        try:
            while client.is_connected and not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AFTER_S):
                        await lost.wait()
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self, client: Client, lost: asyncio.Event) -> None:
        try:
            while True:
                await self._queued.wait()
                self._queued.clear()
                while self._queue:
                    subject, data = self._queue.popleft()
                    self._queued_bytes -= len(data)
                    await client.publish(subject, data)
                self._written.set()
        except (OSError, nats.errors.Error):
            lost.set()

    def _options(self, client: Client, lost: asyncio.Event) -> dict[str, Any]:
        async def failed(error: Exception) -> None:
            if not client.is_connected or isinstance(error, nats.errors.SlowConsumerError):
                lost.set()
            else:
                log.warning("bus_error", reason=str(error))

        async def closed() -> None:
            lost.set()

        servers = self._servers
        options: dict[str, Any] = {
            "servers": list(servers.urls),
            "error_cb": failed,
            "closed_cb": closed,
            "disconnected_cb": closed,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": RECONNECT_AFTER_S,
            "connect_timeout": CONNECT_WITHIN_S,
            "ping_interval": PING_EVERY_S,
            "max_outstanding_pings": 2,
            "name": servers.prefix,
        }
        if servers.tls is not None:
            options["tls"] = servers.tls
        if servers.credentials is not None:
            options |= servers.credentials.options()
        return options


class _TlsClient(Client):
    """Says nothing to a server that offers no TLS: the offer itself comes in clear."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.Error("nats: the server offers no TLS")
        command: bytes = super()._connect_command()
        return command
