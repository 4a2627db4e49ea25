"""The listeners: several uvicorn servers in one process and one event loop."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import aiofastnet
import uvicorn

from admittance.errors import ConfigurationError
from admittance.server.config import parse_address
from admittance.server.protocol import AdmittanceProtocol
from admittance.server.transports import BIO_BYTES, HttpTransport, transport_failed
from admittance.server.turn import MOST, Turn, flush_all

HANDSHAKE_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 15
MAX_CONNECTIONS = 2000
STOP_TIMEOUT_S = 5

_CAUSES = {
    errno.EADDRINUSE: "another program listens there already",
    errno.EACCES: "this user may not listen there (ports below 1024 need CAP_NET_BIND_SERVICE)",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


@dataclass(frozen=True)
class Listener:
    """`name` is the setting in ``[listen]`` that `address` (``host:port``) comes from."""

    name: str
    address: str
    application: Any
    context: ssl.SSLContext


class Listeners:
    """Binds all at construction, so that a bad address is known before anything else starts.

    Raises `ConfigurationError` that names setting, address and cause.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._servers: list[_Server] = []
        self._sockets: list[socket.socket] = []
        try:
            for listener in listeners:
                self._sockets.append(bind(listener.name, listener.address))
                self._servers.append(_Server(listener))
        except ConfigurationError:
            self.close()
            raise
        self._tasks: list[asyncio.Task[None]] = []

    def close(self) -> None:
        """Give the addresses back without having served."""
        for bound in self._sockets:
            bound.close()

    async def start(self) -> None:
        """Accept connections."""
        asyncio.get_running_loop().set_exception_handler(transport_failed)
        for server, bound in zip(self._servers, self._sockets, strict=True):
            self._tasks.append(asyncio.create_task(server.serve(sockets=[bound])))
        for server, task in zip(self._servers, self._tasks, strict=True):
            await _first(server.ready.wait(), task)

    async def stop(self) -> None:
        """Accept no more, let requests finish for at most `STOP_TIMEOUT_S`, then end."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._tasks)


def bind(name: str, address: str) -> socket.socket:
    """A listening socket. Raises `ConfigurationError` that names the cause."""
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(target)
            bound.setblocking(False)
        except OSError:
            bound.close()
            raise
    except socket.gaierror as error:
        raise ConfigurationError(f"[listen] {name}: {host!r} is no address of this machine: {error}") from None
    except OSError as error:
        cause = _CAUSES.get(error.errno or 0, error.strerror or "refused")
        raise ConfigurationError(f"[listen] {name}: can't listen on {address}: {cause}") from None
    return bound


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, and with a bound on the time of a TLS handshake."""

    def __init__(self, listener: Listener) -> None:
        config = uvicorn.Config(
            listener.application,
            http=AdmittanceProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            limit_concurrency=MAX_CONNECTIONS,
        )
        super().__init__(config)
        self.ready = asyncio.Event()
        self._context = listener.context

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        answers: Turn[HttpTransport] = Turn(flush_all, MOST)

        def connection() -> asyncio.Protocol:
            return AdmittanceProtocol(
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop, answers=answers
            )

        self.servers = [
            await aiofastnet.create_server(
                loop,
                connection,
                sock=bound,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=STOP_TIMEOUT_S,
                ssl_incoming_bio_size=BIO_BYTES,
                ssl_outgoing_bio_size=BIO_BYTES,
                backlog=self.config.backlog,
            )
            for bound in sockets or []
        ]
        self.started = True
        self.ready.set()


async def _first(waiting: Any, task: asyncio.Task[None]) -> None:
    """Wait for `waiting`, or raise what `task` failed with."""
    waiter = asyncio.ensure_future(waiting)
    await asyncio.wait([waiter, task], return_when=asyncio.FIRST_COMPLETED)
    if not waiter.done():
        waiter.cancel()
        task.result()
