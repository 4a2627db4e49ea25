"""What every service rests on, opened from a configuration: keys, database, audit log, time.

The server and the commands that work beside it (invites, imports, the audit log) open the same things.
"""

from dataclasses import dataclass
from pathlib import Path

from admittance.server.audit.journal import Journal
from admittance.server.audit.service import AuditService
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock, system_clock
from admittance.server.config import Config
from admittance.server.database import Database
from admittance.server.keys.envelope import Envelope
from admittance.server.keys.file import read_secret
from admittance.server.keystore import Keystore, check_directory, open_keystore

AUDIT_JOURNAL_FILE = "audit-checkpoints.jsonl"


@dataclass(frozen=True, repr=False)
class Foundation:
    """`audit_log` appends in a caller's transaction; `audit_service` verifies, exports and checkpoints."""

    config: Config
    clock: Clock
    keystore: Keystore
    database: Database
    envelope: Envelope
    audit_log: AuditLog
    audit_service: AuditService

    async def close(self) -> None:
        await self.database.close()


def open_foundation(config: Config, *, clock: Clock = system_clock, create: bool = True) -> Foundation:
    """Open keys and database; with `create`, make the data folder and keys that a first start lacks.

    The schema is the caller's to bring up: ``await foundation.database.migrate()``.
    Raises `ConfigurationError` that names the file and what to do about it.
    """
    data_dir = config.data_dir
    if create:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(data_dir)
    key_file = config.keys.key_encryption_file
    keystore = open_keystore(
        data_dir / "keys",
        now=clock(),
        create=create,
        key_encryption_file=config.path(key_file) if key_file else None,
    )
    database = open_database(config)
    if database.is_sqlite and create and database.path is not None:
        database.path.touch(mode=0o600)
    journal = Journal(data_dir / AUDIT_JOURNAL_FILE, keystore.audit_key)
    return Foundation(
        config=config,
        clock=clock,
        keystore=keystore,
        database=database,
        envelope=Envelope(keystore.key_encryption),
        audit_log=AuditLog(keystore.audit_key),
        audit_service=AuditService(database=database, clock=clock, key=keystore.audit_key, journal=journal),
    )


def open_database(config: Config) -> Database:
    """The configured database. Raises `ConfigurationError`."""
    password = secret_text(config.path(config.database.password_file)) if config.database.password_file else None
    return Database(config.database_url, password)


def secret_text(path: Path) -> str:
    """A password from a private file, without the line's end."""
    return read_secret(path).decode("utf-8", "surrogateescape").rstrip("\r\n")
