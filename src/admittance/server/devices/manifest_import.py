"""Taking a maker's manifest into the registry.

Idempotent and resumable: batches of `BATCH_LINES` are committed as they come, and a device that is there
already is left as it is. A line that cannot be taken is reported with its number and does not stop the rest.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from admittance.errors import Conflict, KeyRefused, Malformed, Refused
from admittance.protocol.signing import load_public_key
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.secrets import SecretBox, open_manifest_secrets
from admittance.server.enrolment.tpm.listed import ListedKeys
from admittance.wire.device_id import registry_key
from admittance.wire.manifest import ManifestEntry, decode_line

BATCH_LINES = 500
MAX_REPORTED_ERRORS = 100


@dataclass(frozen=True)
class LineError:
    line: int
    reason: str


@dataclass
class ImportSummary:
    """What became of the lines. `errors` holds the first `MAX_REPORTED_ERRORS` of `failed` lines."""

    lines: int = 0
    added: int = 0
    known: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)

    def fail(self, line: int, reason: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_REPORTED_ERRORS:
            self.errors.append(LineError(line, reason))


_Numbered = tuple[int, ManifestEntry]


class ManifestImport:
    """Imports manifests directly into the database; `manifest_key` opens the makers' secrets."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        catalogue: Catalogue,
        secrets: SecretBox,
        manifest_key: X25519PrivateKey,
        clock: Clock,
    ) -> None:
        self._database = database
        self._audit = audit
        self._catalogue = catalogue
        self._secrets = secrets
        self._manifest_key = manifest_key
        self._clock = clock

    async def run(
        self, lines: Iterable[bytes], progress: Callable[[ImportSummary], None] = lambda summary: None
    ) -> ImportSummary:
        """Import `lines`; `progress` is called after each batch is committed."""
        summary = ImportSummary()
        digest = hashlib.sha256()
        for batch in _batches(enumerate(lines, start=1), BATCH_LINES):
            for _, line in batch:
                digest.update(line)
            await self._import_batch(batch, summary)
            progress(summary)
        async with self._database.transaction() as connection:
            await self._audit.append(
                connection,
                event="manifest.imported",
                actor="operator",
                subject="manifest:" + digest.hexdigest(),
                details={"lines": summary.lines, "added": summary.added, "failed": summary.failed},
                now=self._clock(),
            )
        return summary

    async def _import_batch(self, batch: list[tuple[int, bytes]], summary: ImportSummary) -> None:
        entries = list(self._decode(batch, summary))
        async with self._database.read() as connection:
            known = await store.known(connection, [entry.device_id for _, entry in entries])
            listed = await ListedKeys.read(connection, [entry for _, entry in entries])
        records: dict[str, DeviceRecord] = {}
        for number, entry in entries:
            try:
                if entry.device_id not in known:
                    record = self._record(entry)
                    listed.take(entry)
                    records[entry.device_id] = record
                    known[entry.device_id] = (registry_key(entry.identity_spki), entry.model, entry.presence)
                else:
                    _require_same(known[entry.device_id], entry)
                    listed.take(entry)
                    summary.known += 1
            except (Malformed, Refused) as error:
                summary.fail(number, str(error))
        async with self._database.transaction() as connection:
            appeared = await store.known(connection, records)
            new = [record for device_id, record in records.items() if device_id not in appeared]
            await store.add(connection, new)
            await listed.store(connection)
        summary.added += len(new)
        summary.known += len(appeared)

    def _decode(self, batch: list[tuple[int, bytes]], summary: ImportSummary) -> Iterator[_Numbered]:
        for number, line in batch:
            if not line.strip():
                continue
            summary.lines += 1
            try:
                yield number, decode_line(line)
            except Malformed as error:
                summary.fail(number, str(error))

    def _record(self, entry: ManifestEntry) -> DeviceRecord:
        model = self._catalogue.find(entry.model)
        if model is None:
            raise KeyRefused(f"The model {entry.model!r} is not configured: add [models.{entry.model}].")
        if model.presence != entry.presence:
            raise Conflict(f"The model {entry.model!r} is configured with presence {model.presence!r}.")
        load_public_key(entry.identity_spki)
        certified = entry.identity_certificate is not None
        if entry.identity_certificate is not None:
            identity = self._catalogue.verify_identity(entry.identity_certificate, self._clock())
            if identity.spki != entry.identity_spki or identity.model != entry.model:
                raise Conflict("The identity certificate is for another key or model than the line.")
        secrets = open_manifest_secrets(entry, self._manifest_key)
        if entry.presence == "button" and secrets.presence_key is None:
            raise Malformed("A device that opens by its button needs a presence_key.")
        return DeviceRecord(
            registry_key=registry_key(entry.identity_spki),
            device_id=entry.device_id,
            identity_spki=entry.identity_spki,
            identity_certificate=entry.identity_certificate,
            model=entry.model,
            presence=entry.presence,
            assurance="certified" if certified else "listed",
            secrets=self._secrets.seal(entry.device_id, secrets),
            state="listed",
            account_id=None,
            epoch=0,
            last_sequence=0,
            resets=0,
            needs_ticket=False,
            pending_until=None,
            activated_at=None,
            last_seen_at=None,
        )


def _require_same(known: tuple[bytes, str, str], entry: ManifestEntry) -> None:
    if known != (registry_key(entry.identity_spki), entry.model, entry.presence):
        raise Conflict("The device is in the registry already, with another identity, model or presence.")


def _batches(lines: Iterator[tuple[int, bytes]], size: int) -> Iterator[list[tuple[int, bytes]]]:
    while batch := list(islice(lines, size)):
        yield batch
