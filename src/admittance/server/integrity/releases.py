"""Which versions of which apps count as untampered: the operator's word."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, NotFound
from admittance.measuring.folder import AppFolder
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.integrity import store
from admittance.server.integrity.files import FileCopies
from admittance.server.integrity.model import MeasuredFile, Release
from admittance.server.integrity.verifiers.measured_files import MeasuredFiles


class Releases:
    """Adds, lists and retires releases."""

    def __init__(self, *, database: Database, clock: Clock, audit: AuditLog, copies: FileCopies) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._copies = copies

    async def add(self, *, client_id: str, version: str, folder: Path) -> Release:
        """Measure the app in `folder` and keep copies of its files. The same again changes nothing.

        A retired release becomes current again.

        Raises:
            Conflict: the version is there with other files.
            ConfigurationError, Malformed: the folder can't be measured.
        """
        measured = self._measure(folder)
        now = int(self._clock())
        release = Release(client_id, version, MeasuredFiles.name, measured, now)
        async with self._database.transaction() as connection:
            known = await store.find_release(connection, client_id, version)
            if known is None:
                await store.insert_release(connection, release)
            elif known.digest != release.digest:
                raise Conflict(f"{client_id} {version} has other files; a version is never changed: give a new one.")
            elif not await store.set_retired(connection, client_id, version, at=None):
                return known
            await self._append(connection, "integrity_release_added", client_id, version)
        return release

    async def all(self) -> list[Release]:
        async with self._database.read() as connection:
            return await store.all_releases(connection)

    async def retire(self, *, client_id: str, version: str) -> None:
        """Attest no app of this release any more; attestations that were given end by themselves, within the hour.

        Raises:
            NotFound: there is no such release, or it was retired before.
        """
        async with self._database.transaction() as connection:
            if not await store.set_retired(connection, client_id, version, at=int(self._clock())):
                raise NotFound(f"There is no current release {client_id} {version}.")
            await self._append(connection, "integrity_release_retired", client_id, version)

    async def _append(self, connection: AsyncConnection, event: str, client_id: str, version: str) -> None:
        await self._audit.append(
            connection,
            event=event,
            actor="operator",
            subject=f"app:{client_id}",
            details={"version": version},
            now=self._clock(),
        )

    def _measure(self, folder: Path) -> tuple[MeasuredFile, ...]:
        """Sizes and digests are of the copies, so a file that changes meanwhile can't come apart from them."""
        app = AppFolder(folder)
        measured = []
        for file in app.listing():
            content = app.content(file.path)
            measured.append(MeasuredFile(file.path, len(content), self._copies.keep(content)))
        return tuple(measured)
