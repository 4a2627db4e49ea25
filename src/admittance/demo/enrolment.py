"""Devices with TPMs: the server is sure which hardware it speaks to, and a leaked password enrols nothing.

The panel has a keyboard and is enrolled at itself, by login, password and a code by SMS. The safe is enrolled by the
phone and a code that the panel makes. Both prove their TPMs, and from then on use the server in TPM sessions.
"""

import asyncio
import re
import shutil
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from admittance.client import scan
from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.impostor import Impostor
from admittance.demo.processes import Program
from admittance.demo.stage import HOME, Stage, device_model
from admittance.demo.steps import NotShown, Story, require
from admittance.device.state import Record, StateFile
from admittance.errors import Misuse, NotFound
from admittance.maker.making import MANIFEST
from admittance.tpm.keys import TpmKeys
from admittance.tpm.software import software_tpm

PANEL, SAFE, SPARE = "panel-1", "safe-1", "spare-1"
MADE = ("--presence", "display", "--seal", "hybrid", "--tpm")
BUYER = "buyer@example.org"
PHONE_NUMBER = "+491701234567"
TPM_FOLDER = "tpm"
SMS_CODE = re.compile(r"\b[0-9]{8}\b")

# Short enough for a demonstration; a device's own are 60 and 30 s.
POLL_S, LINGER_S = 0.8, 1.0
SESSIONS = 2

REFUSED_EXIT, CONFIGURATION_EXIT = 4, 6


class Enrolment:
    """The scenario; each method tells one step."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self._stage = stage
        self._story = story
        self._home = Household(stage)
        self._buyer = Household(stage, BUYER, "buyer-")
        self._server: Program | None = None
        self._sms_settings = ""
        self._spare: Path | None = None
        self._before_reset: dict[str, Any] = {}
        self._enrolled: set[str] = set()

    @property
    def devices(self) -> int:
        """How many devices were enrolled so far."""
        return len(self._enrolled)

    async def run(self) -> None:
        """Play all steps. Raises at the first one that does not hold."""
        await self._start_server()
        await self._make_devices()
        await self._allow_models()
        await self._open_accounts()
        await self._power_up()
        await self._enrol_at_the_keyboard()
        await self._enrol_by_code()
        await self._show_evidence()
        await self._use_sessions()
        await self._refuse_other_doors()
        await self._refuse_clone()
        await self._reset()
        await self._enrol_again()
        await self._release()
        await self._claim()
        await self._tell_history()
        await self._receive_mails()
        await self._verify_audit_log()

    @property
    def _panel(self) -> RunningDevice:
        return self._home.devices[PANEL]

    @property
    def _safe(self) -> RunningDevice:
        return self._home.devices[SAFE]

    async def _start_server(self) -> None:
        with self._story.step("server", "The server starts, and a mail server and an SMS gateway"):
            self._stage.write_config()
            _, self._sms_settings, self._server = await asyncio.gather(
                self._stage.receive_mail(), self._stage.receive_sms(), self._stage.serve()
            )

    async def _make_devices(self) -> None:
        with self._story.step("make", "The maker makes a panel and a safe, each with a TPM") as step:
            await self._stage.init_maker()
            spare = Household(self._stage)
            await asyncio.gather(
                self._home.make(PANEL, *MADE, "--listed", "--ek", "p384", labelled=False),
                self._home.make(SAFE, *MADE, "--certified", "--ek", "rsa", labelled=False),
                spare.make(SPARE, *MADE, "--certified", "--ek", "rsa", labelled=False),
            )
            self._spare = spare.devices[SPARE].birth / TPM_FOLDER
            step.facts |= {model: device.device_id for model, device in self._home.devices.items()}

    async def _allow_models(self) -> None:
        with self._story.step("models", "The operator trusts the TPMs' maker, and lists the panel"):
            factory = self._stage.factory
            self._stage.write_config(
                self._sms_settings
                + f'[makers.acme]\nca_file = "{factory / "maker-ca.pem"}"\n\n'
                + f'[tpm]\nek_roots = ["{factory / "ek-ca.pem"}"]\n\n'
                + device_model(PANEL, "display", "tpm", [])
                + "keyboard = true\n\n"
                + device_model(SAFE, "display", "tpm", ["acme"])
                + 'second_factor = ["code"]\n'
            )
            if self._server is not None:
                await self._server.end()
            manifest = self._panel.batch / MANIFEST
            self._server, _ = await asyncio.gather(
                self._stage.serve(),
                self._stage.admit("import", "devices", "import", manifest, "--config", self._stage.config),
            )

    async def _open_accounts(self) -> None:
        with self._story.step("accounts", "Two people get accounts; the owner confirms a phone number") as step:
            await asyncio.gather(self._home.open_account(), self._buyer.open_account())
            profile = ("--profile", self._home.profile)
            await self._stage.admit("phone-set", "account", "phone", "set", PHONE_NUMBER, *profile)
            code = self._stage.secret_file("phone-code", await self._sms_code(1))
            await self._stage.admit("phone-confirm", "account", "phone", "confirm", "--code-file", code, *profile)
            step.facts["sms"] = len(self._stage.sms())

    async def _power_up(self) -> None:
        with self._story.step("power", "Both devices power up, without any network of this host"):
            await self._stage.open_premises()
            await asyncio.gather(*map(self._switch_on, (self._panel, self._safe)))
            for device in (self._panel, self._safe):
                await self._home.opened(device)

    async def _enrol_at_the_keyboard(self) -> None:
        with self._story.step("login", "The panel: login, password and a code by SMS") as step:
            stage, at_panel = self._stage, ("device", "enrol", "--state", self._panel.state)
            wifi = stage.secret_file("panel-wifi", stage.wifi_password)
            await stage.admit(
                *("login", *at_panel, "--login", self._home.owner, "--password-file", self._home.password_file),
                *("--network", HOME, "--network-password-file", wifi, "--start-only"),
            )
            code = await self._sms_code(2)
            other = stage.secret_file("other-code", f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}")
            refused = await stage.admit("sms", *at_panel, "--sms", "--code-file", other, expect=REFUSED_EXIT)
            require(refused.last["error"] == "factor_refused", "Login and password alone enrol nothing.")
            await stage.admit("sms", *at_panel, "--sms", "--code-file", stage.secret_file("sms-code", code))
            step.facts |= {"wrong_code": refused.last["error"], **await self._known(self._panel, "sms")}

    async def _enrol_by_code(self) -> None:
        with self._story.step("code", "The safe: the phone, and a code that the panel makes") as step:
            made = await self._code_of_panel()
            done = await self._provision(self._home, made)
            require(done["purpose"] == "activate", "The safe gets an owner.")
            step.facts |= await self._known(self._safe, "code")

    async def _show_evidence(self) -> None:
        with self._story.step("evidence", "The server shows what each TPM proved") as step:
            for device in (self._panel, self._safe):
                profile = ("--profile", self._home.profile)
                shown = await self._stage.admit("show", "devices", "show", device.device_id, *profile)
                tpm = shown.last["enrolment"]["tpm"]
                statements = [statement["about"] for statement in tpm["statements"]]
                require(statements == ["operational key", "identity key"], "The TPM certified both keys.")
                require(len(tpm["checks"]) > 0, "The checks are told.")
                issuer = tpm["ek_chain"][0]["issuer"]
                step.facts[device.model] = f"{len(tpm['checks'])} checks, endorsed by {issuer}"

    async def _use_sessions(self) -> None:
        with self._story.step("sessions", "Both devices use the server in TPM sessions") as step:
            await asyncio.gather(*map(self._in_use, (self._panel, self._safe)))
            for device in (self._panel, self._safe):
                require(device.told("access_refused") == 0, f"No session of {device.model} is refused.")
                step.facts[device.model] = device.told("status")

    async def _refuse_other_doors(self) -> None:
        await self._switch_off(self._safe)
        with self._story.step("other_doors", "Without its session, the safe's certificate opens nothing") as step:
            async with self._impostor(self._safe.state) as impostor:
                told = {
                    "no_session": await impostor.ask_without_session(),
                    "guessed": await impostor.guess_session(),
                    "device_listener": await impostor.ask_device_listener(),
                }
                with software_tpm(self._safe.birth / TPM_FOLDER) as tcti:
                    told["software_key"] = await impostor.enrol_software_key(TpmKeys(tcti).identity())
            step.facts |= told
            require(told["no_session"] == "authentication_failed", "The device API needs a session.")
            require(told["guessed"] == "authentication_failed", "A session needs the challenge's secret.")
            require(told["device_listener"] in ("no_server", "server_refused"), "TLS needs a key of the server's.")
            require(told["software_key"] == "attestation_missing", "No key outside the TPM gets a certificate.")

    async def _refuse_clone(self) -> None:
        with self._story.step("clone", "A clone of the safe's disk, with another TPM, is refused") as step:
            clone = self._clone()
            agent = await self._stage.admit_isolated(
                *("clone", "device", "run", "--birth", clone / "birth", "--state", clone / "state"),
                *("--premises", self._stage.premises_socket, "--display", "none"),
                expect=CONFIGURATION_EXIT,
            )
            with software_tpm(clone / "birth" / TPM_FOLDER) as tcti:
                tpm = TpmKeys(tcti)
                async with self._impostor(clone / "state") as impostor:
                    told = {"session": await impostor.open_session(tpm), "enrolment": await impostor.enrol(tpm)}
            step.facts |= {"agent_exit": agent.code, **told}
            require(told["session"] in ("tpm_refused", "tpm_key_lost"), "Another TPM opens no challenge.")
            require(told["enrolment"] == "authentication_failed", "Another TPM gets no certificate.")
            await self._switch_on(self._safe)
            await self._in_use(self._safe)

    async def _reset(self) -> None:
        before, shown = self._record(self._safe), await self._shown(self._safe)
        with self._story.step("reset", "A factory reset leaves nothing of the owner on the safe") as step:
            await self._stage.admit("reset", "device", "reset", "--state", self._safe.state)
            await until(lambda: self._safe.told("reset_reported") > 0, "The server hears of the reset.")
            after = self._record(self._safe)
            left = (after.owned, after.server, after.ticket, after.network, after.pending, after.operational)
            require(left == (False, None, None, None, None, None), "The record names no owner, server or network.")
            for name in ("seal", "channel", "access", "attestation"):
                require(getattr(after.keys, name) != getattr(before.keys, name), f"The {name} key is another one.")
            password = self._stage.wifi_password.encode()
            kept = [file for file in self._safe.state.iterdir() if file.is_file() and password in file.read_bytes()]
            require(not kept, "No file holds the Wi-Fi's password.")
            require((await self._shown(self._safe))["certificate"] is None, "Its certificate ends at the server.")
            step.facts |= {"resets": after.resets, "ended": shown["certificate"]["serial"]}
        self._before_reset = shown

    async def _enrol_again(self) -> None:
        with self._story.step("again", "The safe is provisioned again: the hardware is recognised") as step:
            before, enrolled = self._before_reset, self._safe.told("enrolled")
            used = self._stage.folder / "panel-code"
            phone = asyncio.create_task(self._provision(self._home, used))
            try:
                await self._home.says(self._safe, "factor", "factor_refused", "A used code is refused.")
                code = await self._code_of_panel()
                await self._stage.admit(
                    "safe-code", "device", "enrol", "--state", self._safe.state, "--code-file", code
                )
                done = await phone
            finally:
                phone.cancel()
            require(done["purpose"] == "reprovision", "It is no new activation.")
            require(self._safe.told("enrolled") == enrolled + 1, "It is enrolled once.")
            step.facts |= await self._known(self._safe, "code")
            after = await self._shown(self._safe)
            require(after["epoch"] == before["epoch"], "The owner is the same.")
            tpms = before["enrolment"]["tpm"], after["enrolment"]["tpm"]
            require(tpms[0]["ek_public"] == tpms[1]["ek_public"], "It is the same endorsement key.")
            require(tpms[0]["ak_name"] != tpms[1]["ak_name"], "The attestation key is a fresh one.")

    async def _release(self) -> None:
        with self._story.step("release", "The owner releases the safe, and its access ends") as step:
            refusals = self._safe.told("access_refused")
            released = await self._stage.admit(
                "release", "devices", "release", self._safe.device_id, "--yes", "--profile", self._home.profile
            )
            require(released.last["state"] == "released", "The registry says so.")
            seconds = await until(lambda: self._safe.told("access_refused") > refusals, "Its session is refused.")
            step.facts["refused_after_s"] = round(seconds, 3)

    async def _claim(self) -> None:
        with self._story.step("claim", "The buyer claims it, standing before it") as step:
            await self._see_nothing(self._buyer)
            await self._home.press(self._safe)
            made = await self._stage.admit("buyer-code", "devices", "code", "--profile", self._buyer.profile)
            code = self._stage.secret_file("buyer-code", made.last["code"])
            self._buyer.devices[SAFE] = self._safe
            done = await self._provision(self._buyer, code)
            require(done["purpose"] == "activate", "The safe gets another owner.")
            step.facts |= await self._known(self._safe, "code", self._buyer)
            shown = await self._shown(self._safe, self._buyer)
            require(shown["epoch"] == self._before_reset["epoch"] + 1, "The owner number is the next.")
            ek_public = self._before_reset["enrolment"]["tpm"]["ek_public"]
            require(shown["enrolment"]["tpm"]["ek_public"] == ek_public, "It is the same hardware.")
            await self._see_nothing(self._home)

    async def _tell_history(self) -> None:
        with self._story.step("history", "Its history tells the transfer, row by row of the audit chain") as step:
            told = await self._stage.admit(
                "history", "devices", "history", self._safe.device_id, "--profile", self._buyer.profile
            )
            events = [(event["event"], event["by"], event["epoch"]) for event in told.last["events"]]
            transfer = [
                ("device.activated", "an earlier owner", 1),
                ("device.released", "an earlier owner", 1),
                ("device.activated", "you", 2),
            ]
            require([event for event in events if event in transfer] == transfer, f"Both owners: {events}")
            require(
                any(event[0] == "device.enrolled" and event[2] == 2 for event in events), "The enrolment is told."
            )
            step.facts["events"] = [event[0] for event in events]

    async def _receive_mails(self) -> None:
        with self._story.step("mail", "Mails tell each owner what was enrolled, and how to revoke") as step:
            for home, devices in ((self._home, (self._panel, self._safe)), (self._buyer, (self._safe,))):
                wanted = {device.device_id for device in devices}
                await until(partial(_mailed, home, wanted), f"Mails to {home.owner} name each device.")
            mails = [mail.as_string() for mail in self._stage.mails()]
            require(all("admit devices revoke" in mail for mail in mails), "Each mail tells how to revoke.")
            step.facts["mails"] = len(mails)

    async def _verify_audit_log(self) -> None:
        with self._story.step("audit", "The audit log verifies") as step:
            verified = await self._stage.admit("audit", "audit", "verify", "--config", self._stage.config)
            require(verified.last["ok"] is True, "The chain holds.")
            step.facts["rows"] = verified.last["rows"]

    async def _switch_on(self, device: RunningDevice) -> None:
        await self._home.switch_on(device, "--poll-s", str(POLL_S), "--linger-s", str(LINGER_S))

    async def _switch_off(self, device: RunningDevice) -> None:
        if device.program is None:
            raise Misuse(f"{device.model} does not run.")
        await device.program.end()

    async def _in_use(self, device: RunningDevice) -> None:
        known = device.told("status")
        await until(lambda: device.told("status") >= known + SESSIONS, f"{device.model} is known, again and again.")

    async def _provision(self, home: Household, code: Path) -> dict[str, Any]:
        """Have the phone of `home` set up the safe, with the enrolment code in that file."""
        photo = await home.photograph(self._safe)
        self._story.show_code(scan.read_picture(photo))
        done = await home.provision(photo, *home.wifi(self._stage.wifi_password), "--code-file", code)
        return done.last

    async def _known(self, device: RunningDevice, factor: str, home: Household | None = None) -> dict[str, Any]:
        """Check that the server knows a device by its TPM, and how it was enrolled; facts to show."""
        found = await (home or self._home).enrolled(device)
        require(found.assurance == "tpm", f"The server knows {device.model} by its TPM.")
        decision = (await self._shown(device, home))["enrolment"]
        require(decision["factor"] == factor, f"The second factor of {device.model} is told.")
        self._enrolled.add(device.device_id)
        return {"assurance": found.assurance, "factor": factor, "epoch": found.epoch}

    async def _shown(self, device: RunningDevice, home: Household | None = None) -> dict[str, Any]:
        """What `admit devices show` tells."""
        async with (home or self._home).api() as client:
            shown: dict[str, Any] = await client.request("GET", f"/api/devices/{device.device_id}")
        return shown

    async def _see_nothing(self, home: Household) -> None:
        """Check that the safe is not there for an account that does not own it."""
        try:
            await self._shown(self._safe, home)
        except NotFound:
            return
        raise NotShown(f"{home.owner} sees nothing of {self._safe.model}.")

    async def _code_of_panel(self) -> Path:
        made = await self._stage.admit("code", "device", "code", "--state", self._panel.state)
        return self._stage.secret_file("panel-code", made.last["code"])

    async def _sms_code(self, number: int) -> str:
        """Return the code in the SMS with that number, from 1."""
        await until(lambda: len(self._stage.sms()) >= number, "An SMS arrives.")
        found = SMS_CODE.search(self._stage.sms()[number - 1])
        require(found is not None, "The SMS holds a code.")
        return "" if found is None else found[0]

    def _record(self, device: RunningDevice) -> Record:
        record = StateFile(device.state).load()
        if record is None:
            raise NotShown(f"{device.model} remembers something.")
        return record

    def _impostor(self, state: Path) -> AbstractAsyncContextManager[Impostor]:
        return Impostor.with_disk(state, self._safe.device_id, self._stage.premises_socket)

    def _clone(self) -> Path:
        """Copy what is on the safe's disk; the TPM is another one."""
        if self._spare is None:
            raise Misuse("The spare TPM is not made yet.")
        clone = self._stage.folder / "clone"
        shutil.copytree(self._safe.birth, clone / "birth", ignore=shutil.ignore_patterns(TPM_FOLDER))
        shutil.copytree(self._safe.state, clone / "state")
        shutil.copytree(self._spare, clone / "birth" / TPM_FOLDER)
        return clone


def _mailed(home: Household, device_ids: set[str]) -> bool:
    return home.mailed() == device_ids
