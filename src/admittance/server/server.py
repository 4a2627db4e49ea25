"""The running server: starts what `admittance.server.app.build` composed, and stops it again."""

import asyncio
import contextlib
import fcntl
import os
import ssl
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from admittance.errors import AuditBroken, ConfigurationError
from admittance.server.background import repeat
from admittance.server.foundation import Foundation
from admittance.server.listeners import Listener, Listeners
from admittance.server.relay.assembly import RelayServices
from admittance.server.tls import Certificate

CHECKPOINT_EVERY_S = 10.0
CERTIFICATES_EVERY_S = 3600.0

log = structlog.stdlib.get_logger(__name__)

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Secured:
    """Listeners and where their certificate comes from; `contexts` are of further listeners with the same one."""

    certificate: Certificate
    listeners: tuple[Listener, ...]
    contexts: tuple[ssl.SSLContext, ...] = ()


class Server:
    """Composed, not yet started. `loops` run until the server stops."""

    def __init__(
        self,
        foundation: Foundation,
        secured: Sequence[Secured],
        loops: Sequence[Loop],
        relay: RelayServices | None = None,
    ) -> None:
        self.foundation = foundation
        self.relay = relay
        self._secured = tuple(secured)
        self._loops = tuple(loops)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is set; `on_ready` is called once every listener accepts connections.

        Raises `ConfigurationError` for what an operator must mend: an address in use, another server on the same
        data folder, an unusable certificate; and `Unavailable` when the database does not answer.
        """
        foundation = self.foundation
        with held(foundation.config.data_dir / "lock"):
            listeners = Listeners([listener for secured in self._secured for listener in secured.listeners])
            try:
                if self.relay is not None:
                    self.relay.listeners.bind()
                self.renew_certificates(first=True)
                await foundation.database.migrate()
                await self._check_audit_log()
                await self._serve(listeners, stop, on_ready)
            finally:
                listeners.close()
                if self.relay is not None:
                    self.relay.listeners.close()
                await foundation.close()

    async def _serve(self, listeners: Listeners, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        audit = self.foundation.audit_service

        async def renew_certificates() -> None:
            self.renew_certificates()

        tasks = [
            asyncio.create_task(repeat("audit_checkpoint", CHECKPOINT_EVERY_S, audit.checkpoint)),
            asyncio.create_task(repeat("certificates", CERTIFICATES_EVERY_S, renew_certificates)),
            *(asyncio.create_task(loop()) for loop in self._loops),
        ]
        try:
            if self.relay is not None:
                await self.relay.start()
            await listeners.start()
            on_ready()
            log.info("server_ready", origin=self.foundation.config.server.origin)
            await stop.wait()
            log.info("server_stopping")
        finally:
            if self.relay is not None:
                await self.relay.stop()
            await listeners.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._check_audit_log()

    def renew_certificates(self, *, first: bool = False) -> None:
        """Renew what is due and use it for new connections. Raises `ConfigurationError`."""
        renew(self._secured, self.foundation.clock(), first=first)

    async def _check_audit_log(self) -> None:
        try:
            await self.foundation.audit_service.checkpoint()
        except AuditBroken as error:
            log.critical("audit_log_broken", row=error.number, reason=str(error))


class RelayServer:
    """A relay node alone. Keys, database and audit log are looked after by the server that it belongs to."""

    def __init__(self, foundation: Foundation, secured: Sequence[Secured], relay: RelayServices) -> None:
        self.foundation = foundation
        self.relay = relay
        self._secured = tuple(secured)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Relay until `stop` is set. Raises as `Server.run`."""
        foundation = self.foundation
        try:
            self.relay.listeners.bind()
            renew(self._secured, foundation.clock(), first=True)
            await foundation.database.migrate()
            await self._serve(stop, on_ready)
        finally:
            self.relay.listeners.close()
            await foundation.close()

    async def _serve(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        async def renew_certificates() -> None:
            renew(self._secured, self.foundation.clock())

        renewing = asyncio.create_task(repeat("certificates", CERTIFICATES_EVERY_S, renew_certificates))
        try:
            await self.relay.start()
            on_ready()
            log.info("relay_ready", node=self.relay.cluster.node_id)
            await stop.wait()
            log.info("relay_stopping")
        finally:
            await self.relay.stop()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


def renew(secured: Sequence[Secured], now: float, *, first: bool = False) -> None:
    """Renew the certificates that are due, or with `first` load all, for new connections.

    Raises `ConfigurationError`.
    """
    for each in secured:
        if each.certificate.refresh(now) or first:
            for context in (*(listener.context for listener in each.listeners), *each.contexts):
                each.certificate.load(context)


@contextlib.contextmanager
def held(path: Path) -> Generator[None, None, None]:
    """Hold a lock file for as long as the block runs. Raises `ConfigurationError` when another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"Another server is running on the data folder {path.parent}") from None
        yield
    finally:
        os.close(descriptor)
