"""T16. Means: all that is stored and sent when a person opens an account, logs in, sets a device up, talks with it
and collects readings: the database, the files and logs of server, relay node, device and phone, what a relay node
saw, what NATS carried, what went through the air, the mails; and the server's keys. Goal: find the password, or
anything to test guesses of it with, but what argon2id made of it.

A login also stores the token's HMAC, the thumbprint of the key that the token is bound to, the id of its proof,
throttles (HMACs of address and source) and rows of the audit log. The password has no part in them. What a usual
function would make of it, with anything that is known, is looked for; what any function would make of it shows
between two accounts of one password. So keys do: those of apps and devices are random.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError
from nats.aio.msg import Msg

import nats
from admittance.client.session_store import SessionStore
from admittance.device import control
from admittance.maker.making import MANIFEST, make_batch
from admittance.wire import base64url
from admittance.wire.birth import decode_birth
from tests.attack.apps import App
from tests.attack.password_search import LONGEST_SALT, derived, holds, leaves, secrets_in, traces
from tests.attack.relay_site import PANEL, RelaySite
from tests.attack.site import LAMP, PLANS, Row, command
from tests.attack.wire import Wire
from tests.attack.world import Device

TABLES = {
    "accounts",
    "audit",
    "invites",
    "login_throttles",
    "proofs_seen",
    "oauth_codes",
    "oauth_sessions",
    "trusted_apps",
}
"""Where an invitation, its acceptance and two logins leave something; the module tells what."""

OF_NODES = {"relay_nodes"}
"""Where the nodes say every few seconds that they live, whoever opens an account meanwhile."""

METER = """
import asyncio

from admittance.device.applications import Application, Content

app = Application("meter")


@app.resource("/level", observable=True)
async def level(_request):
    return Content.cbor(7)


@app.task
async def measure(_host):
    while True:
        app.record("level", 7, "m")
        await asyncio.sleep(0.1)
"""


@dataclass
class Account:
    """An account with its phone, and what of the database is its."""

    email: str
    password: str
    app: App
    rows: set[Row]

    def values(self) -> set[bytes]:
        """All that is kept of it: at the server, and by its phone."""
        files = [path.read_bytes() for path in self.app.profile.rglob("*") if path.is_file()]
        return secrets_in([row for _, row in self.rows]) | secrets_in(file.decode() for file in files)


async def opened(two_nodes: RelaySite, folder: Path, password: str) -> Account:
    """Open an account and log in, as people do, once with a wrong password."""
    site = two_nodes.site
    operator, before = await site.operator(), await site.rows()
    email = f"{folder.name}-{secrets.token_hex(3)}@example.org"
    folder.mkdir()
    files = {name: folder.parent / f"{folder.name}-{name}" for name in ("link", "password", "wrong")}
    invite = {"email": email, "operator": False, "quota": None}
    files["link"].write_text((await operator.ask("POST", "/api/invites", invite))["link"])
    files["password"].write_text(password)
    files["wrong"].write_text(password[1:] + password[0])
    for path in files.values():
        path.chmod(0o600)
    trust = ("--ca-file", str(site.stage.people_ca))
    accept = ("account", "accept", "--link-file", files["link"], "--email", email, "--name", "A", *trust)
    log_in = ("account", "login", email, "--server", site.origin, "--profile", folder, *trust)
    for arguments, code in (
        ((*accept, "--password-file", files["password"]), 0),
        ((*log_in, "--password-file", files["wrong"]), 4),
        ((*log_in, "--password-file", files["password"]), 0),
    ):
        done = await command(*arguments)
        assert done.code == code, done.objects
    for path in files.values():
        path.unlink()
    app = App(SessionStore(folder))
    app.store.app_keys()
    came = {(table, row) for table, row in await site.rows() - before if table not in OF_NODES}
    return Account(email, password, app, came)


class Ears:
    """On NATS, where nobody notices."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator["Ears"]:
        client = await nats.connect(url)

        async def hear(msg: Msg) -> None:
            self.heard.append(msg.subject.encode() + b" " + msg.data)

        await client.subscribe(">", cb=hear)
        await client.flush()
        try:
            yield self
        finally:
            await client.close()


@dataclass
class Session:
    """What was stored and sent, with the accounts of three people; the first two have one password."""

    two_nodes: RelaySite
    owner: Account
    twin: Account
    other: Account
    devices: list[Device]
    heard: list[bytes]
    air: Wire

    @property
    def password(self) -> str:
        return self.owner.password

    def files(self) -> dict[Path, bytes]:
        """The files of every program that took part."""
        stage, second = self.two_nodes.site.stage, self.two_nodes.second
        folders = [stage.data, second.config.parent, stage.folder / "logs", *(each.state for each in self.devices)]
        folders += [account.app.profile for account in (self.owner, self.twin, self.other)]
        return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}

    def seen(self) -> list[bytes]:
        """What the second node saw in clear."""
        lines = self.two_nodes.second.capture.read_bytes().splitlines()
        return [base64url.decode(msgspec.json.decode(line)["data"]) for line in lines]

    async def everything(self) -> dict[str, bytes]:
        """All there is, by where it was found."""
        rows = await self.two_nodes.site.rows()
        said = [part for exchange in self.air.overheard() for part in (exchange.request.body, exchange.response.body)]
        return {
            "database": b"\n".join(leaf for _, row in sorted(rows, key=repr) for leaf in leaves(row)),
            "files": b"\n".join(self.files().values()),
            "relay": b"".join(self.seen()),
            "bus": b"".join(self.heard),
            "air": b"".join(said),
        }

    def salts(self) -> set[bytes]:
        """What an attacker knows who has it all: every short value that is stored, and every key of the server."""
        keys = self.two_nodes.site.stage.data / "keys"
        stored = {leaf for account in (self.owner, self.twin) for _, row in account.rows for leaf in leaves(row)}
        return {each for each in stored if len(each) <= LONGEST_SALT} | {path.read_bytes() for path in keys.iterdir()}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def session(two_nodes: RelaySite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    folder = tmp_path_factory.mktemp("people")
    password, another = [f"{secrets.token_urlsafe(12)} & {secrets.token_urlsafe(6)}" for _ in range(2)]
    air, ears = Wire(two_nodes.world.stage.premises_socket), Ears()
    async with ears.open(two_nodes.nats.url), air.tapped(folder / "air.sock"):
        owner = await opened(two_nodes, folder / "owner", password)
        other = await opened(two_nodes, folder / "other", another)
        twin = await opened(two_nodes, folder / "twin", password)
        (folder / "meter.py").write_text(METER)
        devices = await asyncio.gather(
            set_up_and_talked_with(two_nodes, owner, folder), logged_in_at(two_nodes, owner, folder)
        )
        yield Session(two_nodes, owner, twin, other, devices, ears.heard, air)
    await two_nodes.world.power_cut()


async def set_up_and_talked_with(two_nodes: RelaySite, owner: Account, folder: Path) -> Device:
    """A device of the account, from its first code to its first reading."""
    site, world, app = two_nodes.site, two_nodes.world, owner.app
    meter = await world.unowned(linger_s=1, application=str(folder / "meter.py"), readings_s=0.3)
    await world.set_up(app.profile, await meter.next_code(), socket=folder / "air.sock")
    await meter.told("relay_connected")
    known = app.knows(meter)
    app.learn(msgspec.structs.replace(known, relay_urls=[f"wss://localhost:{two_nodes.nodes[1].app}"]))
    async with app.far(meter) as channel:
        assert (await channel.get("/level")).plain() == 7
    of_app = ("--profile", app.profile)
    consent = await command("readings", "consent", meter.device_id, "--allow", "level", *of_app)
    assert consent.code == 0, consent.objects
    async with asyncio.timeout(20):
        while not await site.rows("readings"):
            await asyncio.sleep(0.1)
    listed = await command("readings", "list", meter.device_id, *of_app)
    assert listed.last["readings"]
    return meter


async def logged_in_at(two_nodes: RelaySite, owner: Account, folder: Path) -> Device:
    """A device with a keyboard at which the owner logged in, once with a wrong password."""
    site, world, batch = two_nodes.site, two_nodes.world, folder / "panels"
    plan = msgspec.structs.replace(PLANS[LAMP], model=PANEL)
    now = datetime.now(UTC).replace(microsecond=0)
    (made,) = make_batch(site.maker, plan, 1, batch, now)
    imported = await command("devices", "import", batch / MANIFEST, "--config", site.stage.config)
    assert imported.code == 0, imported.objects
    birth = decode_birth((made.directory / "birth.json").read_bytes())
    panel = await world.power_up(Device(birth, made.directory, world.stage.folder / "states" / birth.device_id))
    await control.ask(panel.state, "network", ssid=world.home.ssid, passphrase=world.home.passphrase)
    for password in (owner.password[::-1], owner.password):
        await control.ask(panel.state, "login", email=owner.email, password=password)
    await panel.told("logged_in", 2)
    return panel


async def test_the_password_is_written_nowhere(session: Session) -> None:
    assert await session.two_nodes.site.rows("mail_outbox"), "There are mails to look into."
    for where, haystack in (await session.everything()).items():
        assert len(haystack) > 200, where
        assert not holds(haystack, session.password), where
        assert holds(haystack + session.password.upper().encode("utf-16-le"), session.password)


async def test_nothing_tells_a_right_guess_from_a_wrong_one(session: Session) -> None:
    salts = session.salts()
    for where, haystack in (await session.everything()).items():
        assert traces(haystack, session.password, salts) == [], where
    planted = base64url.encode(list(derived(session.password, salts))[-5]).encode()
    assert traces(haystack + planted, session.password, salts)


async def test_argon2id_is_all_that_guesses_can_be_tested_with_and_is_dear(session: Session) -> None:
    rows = await session.two_nodes.site.rows()
    hashed = {(table, cell) for table, row in rows for cell in row if isinstance(cell, str) and "$argon2" in cell}
    assert {table for table, _ in hashed} == {"accounts"}
    for _, text in hashed:
        found = extract_parameters(text)
        assert (found.type, found.version, found.salt_len, found.hash_len) == (Type.ID, 19, 16, 32)
        assert found.memory_cost >= 64 * 1024
        assert found.time_cost >= 3
    mine = {account.email: hash_of(account) for account in (session.owner, session.twin, session.other)}
    assert len(set(mine.values())) == 3
    for account in (session.owner, session.twin):
        assert PasswordHasher().verify(mine[account.email], session.password)
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(mine[session.other.email], session.password)
    everything = await session.everything()
    assert {where for where, haystack in everything.items() if b"$argon2" in haystack} == {"database"}


def hash_of(account: Account) -> str:
    (row,) = [row for table, row in account.rows if table == "accounts" and account.email in row]
    (found,) = [cell for cell in row if "$argon2" in str(cell)]
    return str(found)


async def test_two_accounts_of_one_password_have_no_more_in_common_than_others(session: Session) -> None:
    owner, twin, other = (account.values() for account in (session.owner, session.twin, session.other))
    assert owner & twin <= other
    assert hash_of(session.owner).encode() in owner
    assert owner & other


async def test_an_account_leaves_rows_where_it_is_said_to(session: Session) -> None:
    for account in (session.owner, session.twin, session.other):
        assert {table for table, _ in account.rows} == TABLES
