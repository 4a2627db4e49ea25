"""T34. Means: the whole database, with the right to drop triggers and to write any table; not the key files. Goal:
change what the audit log tells, so that nobody notices.
"""

import base64
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from admittance.demo.processes import Outcome
from admittance.server.audit.model import Entry
from admittance.server.audit.store import row_mac
from tests.attack.site import Site, command, database_of_its_own


@dataclass
class Log:
    """The files of a server that has stopped, and of which every attack gets a copy."""

    site: Site
    rows: int
    copies: int = 0

    def copy(self) -> "Stolen":
        """A copy to attack, with its configuration."""
        self.copies += 1
        folder = self.site.stage.folder / f"copy{self.copies}"
        data = folder / "server"
        shutil.copytree(self.site.stage.data, data)
        for opened in (data, data / "keys"):
            opened.chmod(0o700)
        config = folder / "admittance.toml"
        config.write_text(self.site.stage.config.read_text().replace(str(self.site.stage.data), str(data)))
        return Stolen(self, data, config)

    async def verify(self, config: Path) -> Outcome:
        """What `admit audit verify` says of a server's log."""
        return await command("audit", "verify", "--config", config)


@dataclass
class Stolen:
    """A server's folder with a database that the attacker writes to."""

    log: Log
    data: Path
    config: Path

    @contextmanager
    def rewritten(self) -> Iterator[sqlite3.Connection]:
        """The database without its triggers; everything is committed at the end."""
        connection = sqlite3.connect(self.data / "admittance.db")
        try:
            for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            yield connection
            connection.commit()
        finally:
            connection.close()

    async def verify(self) -> Outcome:
        return await self.log.verify(self.config)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Log]:
    """A log with some events, written by a server that has stopped."""
    async with Site.open(tmp_path_factory.mktemp("audited"), lamps=0, locks=0) as site:
        owner = await site.account("owner")
        for _ in range(2):
            device = site.certified()
            await site.onboard(owner, device)
            await owner.ask("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "lost"})
        await site.server.end()
        found = await Log(site, 0).verify(site.stage.config)
        assert found.code == 0
        assert found.last["checkpoints"] >= 1
        yield Log(site, found.last["rows"])


def _change(column: str, value: object) -> Callable[[sqlite3.Connection], int]:
    def attack(database: sqlite3.Connection) -> int:
        database.execute(f"UPDATE audit SET {column} = ? WHERE number = 4", (value,))
        return 4

    return attack


def _delete(database: sqlite3.Connection) -> int:
    database.execute("DELETE FROM audit WHERE number = 4")
    return 4


def _delete_and_close_the_gap(database: sqlite3.Connection) -> int:
    database.execute("DELETE FROM audit WHERE number = 4")
    for (number,) in database.execute("SELECT number FROM audit WHERE number > 4 ORDER BY number").fetchall():
        database.execute("UPDATE audit SET number = ? WHERE number = ?", (number - 1, number))
    return 4


def _reorder(database: sqlite3.Connection) -> int:
    for old, new in ((3, -1), (4, 3), (-1, 4)):
        database.execute("UPDATE audit SET number = ? WHERE number = ?", (new, old))
    return 3


def _insert(database: sqlite3.Connection) -> int:
    for (number,) in database.execute("SELECT number FROM audit WHERE number >= 4 ORDER BY number DESC").fetchall():
        database.execute("UPDATE audit SET number = ? WHERE number = ?", (number + 1, number))
    row = (4, 1, "device.released", "account:x", "device:y", "{}", os.urandom(32))
    database.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    return 4


def _repeat(database: sqlite3.Connection) -> int:
    """The same row again at the end, with its own MAC."""
    (last,) = database.execute("SELECT max(number) FROM audit").fetchone()
    copied = "SELECT ?, at, event, actor, subject, details, mac FROM audit WHERE number = 3"
    database.execute(f"INSERT INTO audit {copied}", (last + 1,))
    return int(last) + 1


def _cut_the_beginning(database: sqlite3.Connection) -> int:
    database.execute("DELETE FROM audit WHERE number <= 3")
    return 1


def _cut_the_beginning_and_renumber(database: sqlite3.Connection) -> int:
    _cut_the_beginning(database)
    database.execute("UPDATE audit SET number = number - 3")
    return 1


def _cut_the_end(database: sqlite3.Connection) -> int:
    (last,) = database.execute("SELECT max(number) FROM audit").fetchone()
    database.execute("DELETE FROM audit WHERE number = ?", (last,))
    return int(last)


def _empty(database: sqlite3.Connection) -> int:
    database.execute("DELETE FROM audit")
    return 1


def _forge_the_chain(key: bytes) -> Callable[[sqlite3.Connection], int]:
    """Change a row and compute every MAC from there on anew, as well as one can without the audit key."""

    def attack(database: sqlite3.Connection) -> int:
        database.execute("UPDATE audit SET actor = 'account:somebody-else' WHERE number = 4")
        (mac,) = database.execute("SELECT mac FROM audit WHERE number = 3").fetchone()
        rows = database.execute(
            "SELECT number, at, event, actor, subject, details FROM audit WHERE number > 3 ORDER BY number"
        ).fetchall()
        for number, at, event, actor, subject, details in rows:
            mac = row_mac(key, mac, Entry(number, at, event, actor, subject, json.loads(details)), details)
            database.execute("UPDATE audit SET mac = ? WHERE number = ?", (mac, number))
        return 4

    return attack


ATTACKS: dict[str, Callable[[sqlite3.Connection], int]] = {
    "change who": _change("actor", "account:somebody-else"),
    "change when": _change("at", 1),
    "change what": _change("event", "device.released"),
    "change to whom": _change("subject", "device:another"),
    "change a detail": _change("details", '{"operator":true}'),
    "spoil a detail": _change("details", "{"),
    "change a MAC": _change("mac", bytes(32)),
    "delete": _delete,
    "delete and close the gap": _delete_and_close_the_gap,
    "reorder": _reorder,
    "insert": _insert,
    "repeat": _repeat,
    "cut the beginning": _cut_the_beginning,
    "cut the beginning and renumber": _cut_the_beginning_and_renumber,
    "cut the end": _cut_the_end,
    "empty": _empty,
    "forge the chain without a key": _forge_the_chain(b""),
    "forge the chain with a key of one's own": _forge_the_chain(hashlib.sha256(b"guess").digest()),
}


async def test_an_untouched_copy_verifies(log: Log) -> None:
    """The control: what the attacks change is all that is wrong."""
    copy = log.copy()
    with copy.rewritten():
        pass
    assert (await copy.verify()).code == 0


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_change_is_found_and_named(log: Log, name: str) -> None:
    copy = log.copy()
    with copy.rewritten() as database:
        number = ATTACKS[name](database)
    found = await copy.verify()
    assert (found.code != 0, found.last.get("error")) == (True, "audit_broken")
    assert str(number) in found.last["detail"]


async def test_a_rewritten_journal_is_found(log: Log) -> None:
    """Whoever writes the journal, too, but has not the key, cannot move its last checkpoint to an earlier row."""
    copy = log.copy()
    (journal,) = copy.data.glob("audit-checkpoints*")
    lines = journal.read_bytes().splitlines()
    last = json.loads(lines[-1])
    with copy.rewritten() as database:
        kept = last["number"] - 1
        (mac,) = database.execute("SELECT mac FROM audit WHERE number = ?", (kept,)).fetchone()
        database.execute("DELETE FROM audit WHERE number > ?", (kept,))
    moved = last | {"number": kept, "mac": base64.b64encode(mac).decode()}
    journal.write_bytes(b"".join(line + b"\n" for line in (*lines[:-1], json.dumps(moved).encode())))
    found = await copy.verify()
    assert found.last.get("error") == "audit_broken"


async def test_the_server_itself_can_only_append(log: Log) -> None:
    """Whoever speaks SQL as the server, by an injection perhaps, meets the triggers."""
    database = sqlite3.connect(log.copy().data / "admittance.db")
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit WHERE number = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    database.close()


async def test_on_postgresql_too(postgres_url: str, tmp_path: Path) -> None:
    async with (
        database_of_its_own(postgres_url) as url,
        Site.open(tmp_path, database_url=url, lamps=0, locks=0) as site,
    ):
        await site.account("owner")
        await site.server.end()
        log = Log(site, 0)
        engine = create_async_engine(make_url(url), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in (
                "UPDATE audit SET actor = 'nobody'",
                "DELETE FROM audit WHERE number = 1",
                "TRUNCATE audit",
            ):
                with pytest.raises(DBAPIError, match="append-only"):
                    await connection.execute(text(statement))
            assert (await log.verify(site.stage.config)).code == 0
            for trigger in ("audit_no_change", "audit_no_truncate"):
                await connection.execute(text(f"DROP TRIGGER {trigger} ON audit"))
            (last,) = (await connection.execute(text("SELECT max(number) FROM audit"))).one()
            await connection.execute(text("DELETE FROM audit WHERE number = :last"), {"last": last})
            assert (await log.verify(site.stage.config)).last["error"] == "audit_broken"
            await connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE number = 2"))
            found = await log.verify(site.stage.config)
            assert (found.last["error"], "2" in found.last["detail"]) == ("audit_broken", True)
        await engine.dispose()
