"""A site whose models ask for second factors and TPMs, with a local SMS gateway."""

import asyncio
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.demo.ports import free_ports
from admittance.maker.making import MANIFEST, BatchPlan, make_batch
from admittance.wire import message
from admittance.wire.enrolment import Factor
from admittance.wire.factors import LoginStarted
from tests.attack.site import CBOR, Enrolment, Login, Site, _opened, enrolled, new_key, site_on
from tests.attack.tpm_site import tpm_settings
from tests.device_world import FakeDevice

SAFE, PANEL = "safe-1", "panel-1"
NUMBER = "+491701234567"


@dataclass
class Person:
    """An account whose password the attacker knows."""

    login: Login

    @property
    def email(self) -> str:
        return self.login.email

    @property
    def password(self) -> str:
        return self.login.password


@dataclass
class FactorSite:
    site: Site
    folder: Path
    unused: dict[str, list[FakeDevice]]

    @property
    def inbox(self) -> Path:
        return self.folder / "sms.jsonl"

    def take(self, model: str = SAFE) -> FakeDevice:
        return self.unused[model].pop()

    async def person(self) -> Person:
        """A new account, logged in from its first app."""
        return Person(await self.site.account(quota=1000))

    async def thief(self, victim: Person) -> Login:
        """Whoever logged in with the leaked password."""
        return await self.site.log_in(victim.email, victim.password)

    async def give_phone(self, person: Person) -> None:
        before = len(self.messages())
        await person.login.ask("PUT", "/api/account/phone", {"number": NUMBER})
        await person.login.ask("POST", "/api/account/phone/confirm", {"code": await self.sms_code(before)})

    async def code(self, person: Person) -> str:
        return str((await person.login.ask("POST", "/api/enrolment-codes"))["code"])

    async def enrol(
        self,
        device: FakeDevice,
        ticket: bytes,
        factor: Factor | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> httpx.Response:
        nonce = await self.site.nonce(device.device_id, http)
        return await self.site.hand_in(device.enrolment(key or new_key(), nonce, ticket, factor), http)

    async def onboard(self, person: Person, device: FakeDevice) -> Enrolment:
        ticket, key = (await self.site.claim(person.login, device)).ticket, new_key()
        answer = await self.enrol(device, ticket, Factor("code", await self.code(person)), key)
        return enrolled(answer, key)

    async def log_in_at(self, device: FakeDevice, email: str, password: str) -> LoginStarted:
        nonce = await self.site.nonce(device.device_id)
        signed = device.login(nonce, email, password)
        answer = await self.site.device_side.post("/enrolment/login", content=signed, headers=CBOR)
        assert answer.status_code == 200, answer.text
        return message.decode(answer.content, LoginStarted)

    def messages(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.inbox.read_text().splitlines()]

    async def sms_code(self, before: int) -> str:
        """The code in the message that comes after the first `before`."""
        async with asyncio.timeout(30):
            while len(self.messages()) <= before:
                await asyncio.sleep(0.05)
        found = re.search(r"\b[0-9]{8}\b", self.messages()[-1]["text"])
        assert found is not None
        return found[0]


@asynccontextmanager
async def factor_site(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[FactorSite]:
    """A running site; its models `SAFE` and `PANEL` have devices in the attacker's and in people's hands."""
    folder.mkdir(exist_ok=True)
    token, (port,) = folder / "sms-token", free_ports(1)
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(18))
    settings = f"""
quota = 1000

[sms]
provider = "http"
url = "http://127.0.0.1:{port}/send"
token_file = "{token}"

[models."{SAFE}"]
display_name = "{SAFE}"
presence = "display"
second_factor = ["code", "totp", "approval"]

[models."{PANEL}"]
display_name = "{PANEL}"
presence = "display"
keyboard = true
"""
    settings += tpm_settings(folder)
    async with site_on(request, folder / "site", policy=settings, lamps=0, locks=0) as site:
        opened = FactorSite(site, folder, {})
        await site.stage.programs.start(
            "sms",
            [
                *(sys.executable, "-m", "admittance.demo.sms_gateway", "--listen", f"127.0.0.1:{port}"),
                *("--token-file", token, "--out", opened.inbox),
            ],
        )
        await _stock(opened, {SAFE: 80, PANEL: 10})
        async with asyncio.timeout(30):
            while not opened.inbox.exists():
                await asyncio.sleep(0.05)
        yield opened


async def _stock(opened: FactorSite, counts: dict[str, int]) -> None:
    site, now = opened.site, datetime.now(UTC).replace(microsecond=0)
    manifest = opened.folder / MANIFEST
    with manifest.open("wb") as lines:
        for model, count in counts.items():
            batch = opened.folder / "made" / model
            plan = BatchPlan(model=model, presence="display", seal="classic", certified=False, algorithm="p256")
            made = list(make_batch(site.maker, plan, count, batch, now))
            opened.unused[model] = [_opened(each.directory) for each in made]
            lines.write((batch / MANIFEST).read_bytes())
    await site.stage.admit("import", "devices", "import", manifest, "--config", site.stage.config)
