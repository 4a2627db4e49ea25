"""The composition root of the integrity service, and its life from start to stop."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette

from admittance.errors import AuditBroken
from admittance.server import problems
from admittance.server.accounts.dpop import Nonces, ProofVerifier
from admittance.server.background import repeat
from admittance.server.clock import Clock, system_clock
from admittance.server.guard import Guard
from admittance.server.integrity.config import IntegrityConfig
from admittance.server.integrity.foundation import IntegrityFoundation, open_foundation
from admittance.server.integrity.routes import routes
from admittance.server.integrity.service import IntegrityService
from admittance.server.integrity.verifiers import all_verifiers
from admittance.server.keys.file import replace_file
from admittance.server.listeners import Listener, Listeners
from admittance.server.server import CERTIFICATES_EVERY_S, CHECKPOINT_EVERY_S, Secured, held, renew
from admittance.server.tls import Certificate, GivenCertificate, OwnCertificate, server_context

CA_FILE = "integrity-ca.pem"
PURGE_EVERY_S = 600.0
_NONCE_LABEL = b"admittance/integrity-nonce/1"

log = structlog.stdlib.get_logger(__name__)


class IntegrityServer:
    """Composed, not yet started."""

    def __init__(self, foundation: IntegrityFoundation, service: IntegrityService, secured: Secured) -> None:
        self.foundation = foundation
        self._service = service
        self._secured = (secured,)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is set; `on_ready` is called once connections are accepted.

        Raises `ConfigurationError` for what an operator must mend, and `Unavailable` when the database does not
        answer.
        """
        foundation = self.foundation
        with held(foundation.config.data_dir / "lock"):
            listeners = Listeners(self._secured[0].listeners)
            try:
                renew(self._secured, foundation.clock(), first=True)
                await foundation.migrate()
                await self._check_audit_log()
                await self._serve(listeners, stop, on_ready)
            finally:
                listeners.close()
                await foundation.close()

    async def _serve(self, listeners: Listeners, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        async def renew_certificates() -> None:
            renew(self._secured, self.foundation.clock())

        tasks = [
            asyncio.create_task(repeat(name, interval_s, work))
            for name, interval_s, work in (
                ("audit_checkpoint", CHECKPOINT_EVERY_S, self.foundation.audit_service.checkpoint),
                ("certificates", CERTIFICATES_EVERY_S, renew_certificates),
                ("purge", PURGE_EVERY_S, self._service.purge),
            )
        ]
        try:
            await listeners.start()
            on_ready()
            log.info("integrity_ready", origin=self.foundation.config.service.origin)
            await stop.wait()
        finally:
            await listeners.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._check_audit_log()

    async def _check_audit_log(self) -> None:
        try:
            await self.foundation.audit_service.checkpoint()
        except AuditBroken as error:
            log.critical("audit_log_broken", row=error.number, reason=str(error))


def build(config: IntegrityConfig, *, clock: Clock = system_clock) -> IntegrityServer:
    """Compose the service; makes the keys and files that a first start lacks. Raises `ConfigurationError`."""
    foundation = open_foundation(config, clock=clock)
    replace_file(config.data_dir / CA_FILE, foundation.keys.ca.certificate_pem)
    origin = config.service.origin
    verifiers = all_verifiers(foundation.copies)
    service = IntegrityService(
        database=foundation.database,
        clock=clock,
        audit=foundation.audit_log,
        issuer=origin,
        policy=config.policy,
        keys=foundation.keys.signing,
        source_key=foundation.keys.source_key,
        verifiers=verifiers,
    )
    application = Starlette(
        routes=routes(
            service=service,
            proofs=ProofVerifier(origin=origin, nonces=Nonces(foundation.keys.nonce_key, _NONCE_LABEL)),
            keys=foundation.keys.signing,
            database=foundation.database,
            clock=clock,
            origin=origin,
            verifiers=tuple(verifiers),
        ),
        exception_handlers=problems.handlers(),
    )
    application.router.redirect_slashes = False
    listener = Listener("service", config.service.listen, Guard(application, "integrity"), server_context())
    return IntegrityServer(foundation, service, Secured(_certificate(foundation), (listener,)))


def _certificate(foundation: IntegrityFoundation) -> Certificate:
    config = foundation.config
    if config.tls.cert_file:
        return GivenCertificate(config.path(config.tls.cert_file), config.path(config.tls.key_file))
    folder: Path = config.data_dir / "tls"
    folder.mkdir(mode=0o700, exist_ok=True)
    host = urlsplit(config.service.origin).hostname or ""
    return OwnCertificate(folder / "service.pem", (host,), foundation.keys.ca)
