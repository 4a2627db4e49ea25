"""Devices that need a second factor, and what their owner has for it."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
from sqlalchemy import select, update

from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.store import accounts
from admittance.server.accounts.trust import trust_first
from admittance.server.config import SmsSection
from admittance.server.database import Database
from admittance.server.enrolment.factors.people import FactorSettings
from admittance.server.sms.outbox import SmsOutbox
from admittance.server.sms.store import outbox
from admittance.wire.enrolment import Factor, FactorKind
from tests.device_world import FakeDevice, World
from tests.logins import authenticated

PASSWORD = "correct horse battery"
NUMBER = "+491701234567"


class FactorWorld(World):
    """A world whose server sends SMS; what it would send waits in the outbox."""

    def __init__(self, database: Database, folder: Path) -> None:
        token = folder / "sms-token"
        token.touch(mode=0o600)
        token.write_text("token\n")
        super().__init__(
            database,
            folder,
            sms=SmsSection(provider="http", url="https://sms.example/send", token_file=str(token)),
        )

    @property
    def settings(self) -> FactorSettings:
        return self.services.factors.settings

    async def owner(self, name: str = "ann", *, quota: int = 1000) -> AuthenticatedAccount:
        """An account that can log in, from the app that it trusts."""
        account = await self.account(name, quota=quota)
        hashed = await PasswordHashes(memory_kib=8, passes=1).make(PASSWORD)
        async with self.database.transaction() as connection:
            await connection.execute(
                update(accounts).where(accounts.c.account_id == name).values(password_hash=hashed)
            )
            await trust_first(connection, name, account.jkt, int(self.clock()))
        return account

    def stranger(self, name: str = "ann") -> AuthenticatedAccount:
        """Whoever logged in with the leaked password of that account."""
        return authenticated(name, jkt="jkt-of-a-thief")

    async def waiting(self, account: AuthenticatedAccount, model: str = "safe") -> tuple[FakeDevice, bytes]:
        """A device that was activated and holds its ticket."""
        device = self.device(model)
        await self.take(device)
        activation = await self.activate(account, device)
        return device, device.open(activation.sealed, self.root_spki_sha256).configuration.ticket

    async def totp(self, account: AuthenticatedAccount) -> pyotp.TOTP:
        """The account's authenticator app."""
        uri = await self.settings.begin_totp(account)
        app = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
        await self.settings.confirm_totp(account, app.at(int(self.clock())))
        self.clock.pass_s(60)
        return app

    async def phone(self, account: AuthenticatedAccount) -> None:
        """Give the account a verified number."""
        await self.settings.set_phone(account, NUMBER)
        await self.settings.confirm_phone(account, await self.sms_code())
        self.clock.pass_s(60)

    async def messages(self) -> list[tuple[str, str]]:
        """Number and text of each SMS, in the order in which they were written."""
        opener = SmsOutbox(self.foundation.envelope)
        async with self.database.read() as connection:
            rows = (await connection.execute(select(outbox).order_by(outbox.c.created_at))).all()
        opened = [opener.open(row.sms_id, row.sealed) for row in rows]
        return [(sms.number, sms.text) for sms in opened]

    async def sms_code(self) -> str:
        """The code in the latest SMS."""
        found = re.search(r"\b[0-9]{8}\b", (await self.messages())[-1][1])
        assert found is not None
        return found[0]

    async def log_in(self, device: FakeDevice, password: str = PASSWORD, email: str = "ann@example.org") -> bytes:
        """Log in at the device; it takes up the epoch. Returns the ticket."""
        nonce, _ = self.services.enrolments.nonce(device.device_id)
        started = await self.services.factors.logins.start(device.login(nonce, email, password), "192.0.2.7")
        device.epoch = started.epoch
        return started.ticket


def factor(kind: FactorKind, value: str = "") -> Factor:
    return Factor(kind, value)
