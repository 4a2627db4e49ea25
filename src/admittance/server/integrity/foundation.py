"""What the service rests on, opened from its configuration; the commands beside it open the same."""

from dataclasses import dataclass

from admittance.server.audit.journal import Journal
from admittance.server.audit.service import AuditService
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock, system_clock
from admittance.server.database import Database
from admittance.server.foundation import AUDIT_JOURNAL_FILE, secret_text
from admittance.server.integrity.config import IntegrityConfig
from admittance.server.integrity.files import FileCopies
from admittance.server.integrity.keys import ServiceKeys, open_keys
from admittance.server.integrity.migrations import upgrade
from admittance.server.integrity.releases import Releases
from admittance.server.keystore import check_directory


@dataclass(frozen=True, repr=False)
class IntegrityFoundation:
    """Keys, database, audit log and copies of the apps' files: all of them the service's own."""

    config: IntegrityConfig
    clock: Clock
    keys: ServiceKeys
    database: Database
    copies: FileCopies
    audit_log: AuditLog
    audit_service: AuditService
    releases: Releases

    async def migrate(self) -> None:
        """Bring the schema to the newest version."""
        await self.database.migrate(upgrade)

    async def close(self) -> None:
        await self.database.close()


def open_foundation(config: IntegrityConfig, *, clock: Clock = system_clock) -> IntegrityFoundation:
    """Open everything; make the data folder and keys that a first start lacks.

    Raises `ConfigurationError` that names the file and what to do about it.
    """
    data_dir = config.data_dir
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(data_dir)
    keys = open_keys(data_dir / "keys", now=clock())
    password_file = config.database.password_file
    database = Database(config.database_url, secret_text(config.path(password_file)) if password_file else None)
    if database.is_sqlite and database.path is not None:
        database.path.touch(mode=0o600)
    copies = FileCopies(data_dir / "files")
    audit_log = AuditLog(keys.audit_key)
    return IntegrityFoundation(
        config=config,
        clock=clock,
        keys=keys,
        database=database,
        copies=copies,
        audit_log=audit_log,
        audit_service=AuditService(
            database=database,
            clock=clock,
            key=keys.audit_key,
            journal=Journal(data_dir / AUDIT_JOURNAL_FILE, keys.audit_key),
        ),
        releases=Releases(database=database, clock=clock, audit=audit_log, copies=copies),
    )
