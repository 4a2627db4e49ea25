"""The relay's listeners: picows on aiofastnet, its buffers at the supported minimum, as most connections are idle."""

import asyncio
import hashlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import picows
import structlog

from admittance.errors import ConfigurationError
from admittance.server.config import ListenSection
from admittance.server.listeners import bind
from admittance.server.relay.gate import GatedListener
from admittance.server.relay.node import RelayNode
from admittance.server.relay.settings import AUTHENTICATION_TIMEOUT_S, CLOSE_TIMEOUT_S
from admittance.server.relay.transports import shrink_buffers
from admittance.server.relay.upgrade import Factory, app_upgrades, device_upgrades
from admittance.server.tls import ListenerContext, server_context
from admittance.server.transports import BIO_BYTES, transport_failed
from admittance.wire.relay import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES

READ_BUFFER_BYTES = 2048
BACKLOG = 512
NO_CERTIFICATE = bytes(32)

log = structlog.stdlib.get_logger(__name__)


def relay_context() -> ListenerContext:
    """TLS 1.3 alone, no tickets."""
    context = server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@dataclass(frozen=True)
class RelayListener:
    """`name` is the setting in ``[listen]`` that `address` comes from; `context` is None where there is no TLS."""

    name: str
    address: str
    context: ListenerContext | None
    factory: Factory
    max_frame_bytes: int


class RelayListeners:
    """The listeners of ``[listen]``; the contexts hold their certificates by the time that they start."""

    def __init__(self, node: RelayNode, listen: ListenSection) -> None:
        self.app_context, self.device_context = relay_context(), relay_context()
        self._node = node
        self._listeners = self._described(listen)
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []

    def bind(self) -> None:
        """Take the addresses. Raises `ConfigurationError` that names setting, address and cause."""
        try:
            for listener in self._listeners:
                self._sockets.append(GatedListener(bind(listener.name, listener.address), self._node.gate))
        except ConfigurationError:
            self.close()
            raise

    def close(self) -> None:
        """Give the addresses back without having served."""
        for bound in self._sockets:
            bound.close()

    async def start(self) -> None:
        """Accept connections."""
        asyncio.get_running_loop().set_exception_handler(transport_failed)
        self._node.start()
        for listener, bound in zip(self._listeners, self._sockets, strict=True):
            tls: dict[str, Any] = {}
            if listener.context is not None:
                tls = {
                    "ssl": listener.context,
                    "ssl_handshake_timeout": AUTHENTICATION_TIMEOUT_S,
                    "ssl_shutdown_timeout": CLOSE_TIMEOUT_S,
                    "ssl_incoming_bio_size": BIO_BYTES,
                    "ssl_outgoing_bio_size": BIO_BYTES,
                }
            server = await picows.ws_create_server(
                listener.factory,
                sock=bound,
                backlog=BACKLOG,
                websocket_handshake_timeout=AUTHENTICATION_TIMEOUT_S,
                logger_name=_picows_log(),
                enable_auto_pong=False,
                max_frame_size=listener.max_frame_bytes,
                read_buffer_init_size=READ_BUFFER_BYTES,
                use_aiofastnet=True,
                **tls,
            )
            if listener.context is not None:
                shrink_buffers(server)
            self._servers.append(server)

    async def stop(self) -> None:
        """Accept no more, and ask everybody who is connected to go elsewhere."""
        for server in self._servers:
            server.close()
        await self._node.drain()

    def _described(self, listen: ListenSection) -> list[RelayListener]:
        node = self._node
        of_devices = device_upgrades(node, _shown_by(self.device_context))
        described = [
            RelayListener("app_relay", listen.app_relay, self.app_context, app_upgrades(node), MAX_MESSAGE_BYTES),
            RelayListener("device_relay", listen.device_relay, self.device_context, of_devices, MAX_BATCH_BYTES),
        ]
        if plain := listen.device_relay_plain:
            without_tls = device_upgrades(node, lambda: NO_CERTIFICATE)
            described.append(RelayListener("device_relay_plain", plain, None, without_tls, MAX_BATCH_BYTES))
        return described


def _shown_by(context: ListenerContext) -> Callable[[], bytes]:
    """SHA-256 of the leaf (DER) that the context shows now."""
    last: tuple[str | None, bytes] = (None, NO_CERTIFICATE)

    def shown() -> bytes:
        nonlocal last
        pem = context.leaf_pem
        if pem is not None and pem is not last[0]:
            last = (pem, hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest())
        return last[1]

    return shown


class _PicowsLog(logging.LoggerAdapter[logging.Logger]):
    """What picows logs with: a peer's mistakes are nothing, exceptions in our handlers are.

    A logger that is no adapter would cost each connection one of its own.
    """

    def error(self, *_arguments: Any, **_options: Any) -> None:
        """Nothing."""

    info = warning = error

    def exception(self, msg: object, *args: object, **_options: Any) -> None:
        log.error("relay_connection_crashed", what=str(msg) % args if args else str(msg), exc_info=True)


def _picows_log() -> _PicowsLog:
    logger = logging.getLogger("picows.relay")
    logger.setLevel(logging.CRITICAL)  # its debug messages hold headers
    return _PicowsLog(logger, {})
