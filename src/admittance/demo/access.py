"""Who may open which door, when and how often, and with which app.

A guest gets in once, this evening, with an untampered app. What anybody tries beyond that fails, each for its own
reason. A medical monitor that has no network takes a token that its server signed, over Bluetooth.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from admittance.client.api import ApiClient
from admittance.client.dpop import DpopKey
from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.client.session_store import SessionStore
from admittance.demo.attested_app import IntegrityService
from admittance.demo.household import Household, RunningDevice
from admittance.demo.processes import Outcome
from admittance.demo.stage import HOME, Stage, device_model
from admittance.demo.steps import NotShown, Step, Story, require
from admittance.errors import AuthenticationFailed
from admittance.maker.making import MANIFEST

FRONT, BACK, MONITOR = "front-door", "back-door", "monitor"
MEASUREMENTS: Final = "/measurements"
UNLOCKED: Final = '{"state": "unlocked"}'
UNLOCK: Final = "PUT /lock"
POLL_S: Final = 0.3
EVENING_S: Final = 4 * 3600

# Long enough to ask for a key on a busy machine; a person's evening is longer.
SHORT_EVENING_S: Final = 20


class Access:
    """The scenario; each method tells one step or two."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self._stage = stage
        self._story = story
        self._home = Household(stage)
        self._guest = Household(stage, owner="guest@example.org", prefix="guest-")
        self._integrity = IntegrityService(stage)
        self._set_up = 0

    @property
    def devices(self) -> int:
        return self._set_up

    async def run(self) -> None:
        """Play all steps. Raises at the first one that does not hold."""
        await self._start()
        await self._set_up_doors()
        await self._invite_guest()
        await self._attest_fake_app()
        await self._open_once()
        await self._try_again()
        await self._try_next_morning()
        await self._steal_token()
        await self._try_another_door()
        await self._set_up_monitor()
        await self._read_monitor()
        await self._verify_audit_log()

    async def _start(self) -> None:
        stage = self._stage
        with self._story.step("server", "The integrity service and the server start; neither has the other's keys"):
            await stage.receive_mail()
            await self._integrity.start()
            models = "".join(device_model(model, "display", "listed", ()) for model in (FRONT, BACK, MONITOR))
            stage.write_config(f"{self._integrity.tables()}{models}offline = true\n")
            await stage.serve()

    async def _set_up_doors(self) -> None:
        stage, home = self._stage, self._home
        with self._story.step("doors", "The owner sets up two door locks") as step:
            await stage.init_maker()
            await home.open_account()
            await stage.open_premises(bluetooth=True)
            for model in (FRONT, BACK):
                door = await home.make(model, "--presence", "display", "--seal", "hybrid", "--listed")
                await stage.admit("import", "devices", "import", door.batch / MANIFEST, "--config", stage.config)
                await home.switch_on(door, "--poll-s", str(POLL_S), "--application", "lock")
                await home.opened(door)
                await home.provision(await home.photograph(door), *home.wifi(stage.wifi_password))
                await home.joined(door, HOME)
                await home.enrolled(door)
                self._set_up += 1
                step.facts[model] = door.device_id

    async def _invite_guest(self) -> None:
        with self._story.step("guest", "The owner invites a guest, who opens an account"):
            await self._guest.open_account()

    async def _attest_fake_app(self) -> None:
        with self._story.step("fake_app", "A fake app, with one line more, gets no attestation") as step:
            fake = self._integrity.fake()
            refused = await self._integrity.attest(self._guest.profile, folder=fake, expect=None)
            require(refused.code != 0, "The integrity service refuses the fake.")
            step.facts["error"] = refused.last["error"]

    async def _open_once(self) -> None:
        door, guest = self._door(FRONT), self._guest
        with self._story.step("grant", "The owner lets the guest open the front door this evening, once") as step:
            given = await self._give(FRONT, UNLOCK, EVENING_S, "--once", "--integrity")
            step.facts |= {"action": UNLOCK, "uses": given.last["uses"], "integrity": given.last["integrity"]}
        with self._story.step("app_not_attested", "Without an attestation the guest's app gets no key") as step:
            await _refused(step, self._as_guest("access", "get", door.device_id, expect=None), "integrity_required")
        with self._story.step("attested", "The untampered app proves itself, and gets the key") as step:
            await self._integrity.attest(guest.profile)
            key = await self._as_guest("access", "get", door.device_id, "--name", FRONT)
            step.facts["expires_in_s"] = round(key.last["expires_at"] - time.time())
        with self._story.step("opened", "The guest opens the door by the key, which the door got from the server"):
            await self._talk(door, "put", "/lock", "--cbor", UNLOCKED)
            require(self._movements(door) == ["unlocked"], "The bolt moved, once.")

    async def _try_again(self) -> None:
        door = self._door(FRONT)
        with self._story.step("second_try", "The second try: the door has discarded the key") as step:
            again = self._talk(door, "put", "/lock", "--cbor", UNLOCKED, expect=None)
            await _refused(step, again, "authentication_failed")
        with self._story.step("second_key", "Nor does the server give another key") as step:
            await _refused(step, self._as_guest("access", "get", door.device_id, expect=None), "uses_spent")
            require(self._movements(door) == ["unlocked"], "The bolt did not move again.")

    async def _try_next_morning(self) -> None:
        door = self._door(BACK)
        with self._story.step("short_evening", "For some seconds the guest may open the back door, too") as step:
            ends_at = time.time() + SHORT_EVENING_S
            await self._give(BACK, UNLOCK, SHORT_EVENING_S)
            await self._as_guest("access", "get", door.device_id, "--name", BACK)
            await self._talk(door, "put", "/lock", "--cbor", UNLOCKED)
            step.facts["seconds"] = SHORT_EVENING_S
        await asyncio.sleep(max(0.0, ends_at + 1 - time.time()))
        with self._story.step("next_morning", "After its hours the key opens nothing") as step:
            refused = await self._talk(door, "put", "/lock", "--cbor", UNLOCKED, expect=None)
            require(refused.code != 0, "The key opens nothing after its hours.")
            step.facts |= {"error": refused.last["error"], "detail": refused.last["detail"]}
            await _refused(step, self._as_guest("access", "get", door.device_id, expect=None), "expired")
            require(self._movements(door) == ["unlocked"], "The bolt did not move again.")

    async def _steal_token(self) -> None:
        door, guest = self._door(BACK), self._guest
        with self._story.step("stolen_login", "A stolen access token needs the phone's key, too") as step:
            session = SessionStore(guest.profile).load()
            stolen = session.access_token
            async with ApiClient(
                session.origin, key=DpopKey.generate(), access_token=stolen, trust=session.trust()
            ) as thief:
                step.facts["error"] = await _error_of(thief)
        with self._story.step("stolen_token", "A stolen door token needs its possession key, too") as step:
            await self._give(BACK, UNLOCK, EVENING_S)
            await self._as_guest("access", "get", door.device_id, "--name", BACK)
            known = msgspec.structs.replace(self._held(door), master_secret=os.urandom(32))
            refused = await self._talk_by(known, door)
            require(refused.code != 0, "The door takes no message of the thief's.")
            step.facts["error"] = refused.last["error"]
            require(self._movements(door) == ["unlocked"], "The bolt did not move.")

    async def _try_another_door(self) -> None:
        front, back = self._door(FRONT), self._door(BACK)
        with self._story.step("other_device", "The back door's key does not open the front door") as step:
            await self._give(FRONT, "GET /lock", EVENING_S)
            elsewhere = msgspec.structs.replace(self._held(back), device_id=front.device_id)
            refused = await self._talk_by(elsewhere, front)
            require(refused.code != 0, "The front door does not know the key.")
            step.facts["error"] = refused.last["error"]
            await self._talk(back, "put", "/lock", "--cbor", UNLOCKED)
            require(self._movements(front) == ["unlocked"], "The front door's bolt did not move.")

    async def _set_up_monitor(self) -> None:
        stage, home = self._stage, self._home
        with self._story.step("monitor", "The owner sets up a medical monitor that never meets the server") as step:
            monitor = await home.make(MONITOR, "--presence", "display", "--seal", "hybrid", "--listed")
            await stage.admit("import", "devices", "import", monitor.batch / MANIFEST, "--config", stage.config)
            await home.switch_on(monitor, "--application", "monitor", "--ble", stage.controller)
            await home.opened(monitor)
            await home.provision(await home.photograph(monitor), *home.wifi(stage.wifi_password))
            self._set_up += 1
            step.facts["device_id"] = monitor.device_id

    async def _read_monitor(self) -> None:
        monitor = self._door(MONITOR)
        with self._story.step("offline_token", "The guest gets a token that the monitor can check by itself") as step:
            await self._give(MONITOR, f"GET {MEASUREMENTS}", EVENING_S)
            key = await self._as_guest("access", "get", monitor.device_id, "--name", MONITOR)
            step.facts["expires_in_s"] = round(key.last["expires_at"] - time.time())
        with self._story.step("over_bluetooth", "Without any network the monitor lets the guest read") as step:
            await self._home.change_wifi()
            read = await self._stage.admit_isolated(
                *(self._guest.profile.name, "talk", "--ble", self._stage.controller, monitor.device_id),
                *("get", MEASUREMENTS, "--profile", self._guest.profile),
            )
            require(bool(read.last), "The guest reads the measurements.")
            step.facts["read"] = read.last.get("value")

    async def _verify_audit_log(self) -> None:
        with self._story.step("audit", "The audit log verifies") as step:
            verified = await self._stage.admit("audit", "audit", "verify", "--config", self._stage.config)
            require(verified.last["ok"] is True, "The chain holds.")
            step.facts["rows"] = verified.last["rows"]

    def _door(self, model: str) -> RunningDevice:
        return self._home.devices[model]

    def _held(self, door: RunningDevice) -> HeldKey:
        return KeyStore(self._guest.profile).find(door.device_id)

    def _movements(self, door: RunningDevice) -> list[str]:
        """What the door's bolt did since it was made."""
        bolt = door.state / "application" / "bolt"
        return bolt.read_text(encoding="utf-8").splitlines() if bolt.exists() else []

    async def _give(self, model: str, action: str, seconds: int, *conditions: str) -> Outcome:
        until = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat(timespec="seconds")
        who: tuple[str | Path, ...] = ("--to", self._guest.owner, "--profile", self._home.profile)
        what = ("--action", action, "--until", until, "--zone", "UTC", *conditions)
        return await self._stage.admit("give", "grants", "give", self._door(model).device_id, *who, *what)

    async def _as_guest(self, *arguments: str, expect: int | None = 0) -> Outcome:
        return await self._stage.admit(
            self._guest.profile.name, *arguments, "--profile", self._guest.profile, expect=expect
        )

    async def _talk(self, door: RunningDevice, *arguments: str, expect: int | None = 0) -> Outcome:
        return await self._as_guest("talk", door.device_id, *arguments, expect=expect)

    async def _talk_by(self, key: HeldKey, door: RunningDevice) -> Outcome:
        """Try to unlock a door by a key that was never the guest's for it, from a copy of the guest's phone."""
        copy = self._stage.folder / "thief"
        shutil.copytree(self._guest.profile, copy)
        KeyStore(copy).keep(key)
        try:
            return await self._stage.admit(
                *("thief", "talk", door.device_id, "put", "/lock", "--cbor", UNLOCKED, "--profile", copy),
                expect=None,
            )
        finally:
            shutil.rmtree(copy)


async def _error_of(thief: ApiClient) -> str:
    try:
        await thief.account()
    except AuthenticationFailed as error:
        return error.code
    raise NotShown("The server refuses the token with another key's proof.")


async def _refused(step: Step, asking: Awaitable[Outcome], error: str) -> None:
    """Require that a command fails by that error, and tell its reason with the step."""
    refused = await asking
    require(refused.code != 0 and refused.last["error"] == error, f"It is refused: {error}.")
    step.facts |= {"error": error, "detail": refused.last["detail"]}
