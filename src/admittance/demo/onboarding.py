"""The main job: devices that nobody typed into a database are set up by the phone in front of them.

The lamp has a display, an identity certified by its maker and the hybrid seal key, and gets its Wi-Fi from the phone.
The plug is headless with a button, listed in the manifest, has a symmetric seal key, and gets the Wi-Fi that the
server stores.
"""

import asyncio
import secrets
import time
from pathlib import Path

from admittance.client import scan
from admittance.demo.held_connection import HeldConnection
from admittance.demo.household import STORED_NETWORK, Household, RunningDevice, Watched, until
from admittance.demo.processes import Program
from admittance.demo.stage import HOME, Stage, device_model
from admittance.demo.steps import Story, require
from admittance.errors import Misuse
from admittance.maker.making import MANIFEST

LAMP, PLUG = "lamp-1", "plug-1"

# Short enough for a demonstration; a device's own are 60 and 90 s.
ROTATION_S, GRACE_S = 3.0, 10.0
POLL_S = 0.3

REVOKED_WITHIN_S = 1.0
WRONG_CODE_EXIT = 4


class Onboarding:
    """The scenario; each method tells one step or two."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self._stage = stage
        self._story = story
        self._home = Household(stage)
        self._server: Program | None = None
        self._set_up: set[str] = set()
        self._first_photo = Path()
        self._outdated_at = 0.0

    @property
    def devices(self) -> int:
        """How many devices were set up so far."""
        return len(self._set_up)

    async def run(self) -> None:
        """Play all steps. Raises at the first one that does not hold."""
        await self._start_server()
        await self._make_devices()
        await self._allow_models()
        await self._import_devices()
        await self._open_account()
        await self._power_up()
        await self._set_up_button_device()
        await self._refuse_outdated_code()
        await self._set_up_display_device()
        await self._receive_mails()
        await self._set_up_again()
        await self._revoke()
        await self._verify_audit_log()

    @property
    def _lamp(self) -> RunningDevice:
        return self._home.devices[LAMP]

    @property
    def _plug(self) -> RunningDevice:
        return self._home.devices[PLUG]

    async def _start_server(self) -> None:
        with self._story.step("server", "The server starts, with keys and certificates of its own"):
            await self._stage.receive_mail()
            self._stage.write_config()
            self._server = await self._stage.serve()

    async def _make_devices(self) -> None:
        with self._story.step("make", "The maker makes a lamp, certified, and a plug, listed") as step:
            await self._stage.init_maker()
            await asyncio.gather(
                self._home.make(LAMP, "--presence", "display", "--seal", "hybrid", "--certified"),
                self._home.make(PLUG, "--presence", "button", "--seal", "symmetric", "--listed"),
            )
            step.facts |= {model: device.device_id for model, device in self._home.devices.items()}

    async def _allow_models(self) -> None:
        with self._story.step("models", "The operator allows the maker and both models"):
            ca_file = self._stage.factory / "maker-ca.pem"
            self._stage.write_config(
                f'[makers.acme]\nca_file = "{ca_file}"\n\n'
                + device_model(LAMP, "display", "certified", ["acme"])
                + device_model(PLUG, "button", "listed", [])
            )
            await self._stage.admit("config", "config", "check", "--config", self._stage.config)
            if self._server is not None:
                await self._server.end()
            self._server = await self._stage.serve()

    async def _import_devices(self) -> None:
        with self._story.step("import", "The operator imports the maker's manifest, twice"):
            for _ in range(2):
                await self._stage.admit(
                    *("import", "devices", "import", self._plug.batch / MANIFEST),
                    *("--config", self._stage.config),
                )

    async def _open_account(self) -> None:
        with self._story.step("account", "The owner accepts an invitation and stores the Wi-Fi"):
            await self._home.open_account()
            await self._home.store_network()

    async def _power_up(self) -> None:
        with self._story.step("power", "Both devices power up, without any network of this host"):
            await self._stage.open_premises()
            times = ("--rotation-s", str(ROTATION_S), "--grace-s", str(GRACE_S), "--poll-s", str(POLL_S))
            await self._home.switch_on(self._lamp, *times)
            await self._home.switch_on(self._plug, *times, "--display", "none")
            for device in self._home.devices.values():
                await self._home.opened(device)
                require(_is_isolated(device), f"{device.model} is in a network namespace of its own.")
            self._first_photo = await self._home.photograph(self._lamp)
            self._outdated_at = time.monotonic() + ROTATION_S + GRACE_S

    async def _refuse_outdated_code(self) -> None:
        with self._story.step("outdated_code", "A code that is outdated is refused") as step:
            photographed = self._show(self._first_photo)
            await asyncio.sleep(max(0.0, self._outdated_at - time.monotonic()))
            require(self._lamp.shown() not in (None, photographed), "The lamp shows another code by now.")
            refused = await self._home.provision(
                self._first_photo, *self._home.wifi("unused"), expect=WRONG_CODE_EXIT
            )
            require(refused.last["error"] == "wrong_code", "The refusal says that the code does not hold.")
            step.facts["error"] = refused.last["error"]

    async def _set_up_display_device(self) -> None:
        with self._story.step(
            "display_device", "The phone sets up the lamp; the first Wi-Fi password is wrong"
        ) as step:
            watched = Watched()
            photo = await self._home.photograph(self._lamp)
            self._show(photo)
            passwords = (secrets.token_urlsafe(9), self._stage.wifi_password)
            done = await self._home.provision(photo, *self._home.wifi(*passwords), watched=watched)
            cause = watched.find("network_failed")["cause"]
            require(cause == "wrong_password", "The true cause of the failure is told.")
            require(done.last["purpose"] == "activate", "The lamp gets an owner.")
            require(done.last["attempts"] == 2, "The second password is tried in place.")
            found = await self._home.enrolled(self._lamp)
            self._set_up.add(found.device_id)
            require(found.assurance == "certified", "The server knows the lamp by its maker's certificate.")
            step.facts |= {"cause": cause, "attempts": 2, "assurance": found.assurance}

    async def _set_up_button_device(self) -> None:
        with self._story.step("button_device", "The phone sets up the plug by its label and button") as step:
            self._show(self._plug.label)
            await self._home.press(self._plug)
            done = await self._home.provision(self._plug.label, "--server-network", STORED_NETWORK)
            require(done.last["device_id"] == self._plug.device_id, "The device is the label's.")
            require(not self._home.phone_holds(self._stage.wifi_password), "The phone never learns the password.")
            found = await self._home.enrolled(self._plug)
            self._set_up.add(found.device_id)
            require(found.assurance == "listed", "The server knows the plug by the manifest.")
            step.facts |= {"attempts": done.last["attempts"], "assurance": found.assurance}

    async def _receive_mails(self) -> None:
        with self._story.step("mail", "The owner gets a mail about each device") as step:
            wanted = {device.device_id for device in self._home.devices.values()}
            await until(lambda: self._home.mailed() == wanted, "A mail names each device.")
            step.facts["mails"] = len(self._stage.mails())

    async def _set_up_again(self) -> None:
        before = {model: await self._home.enrolled(device) for model, device in self._home.devices.items()}
        with self._story.step("wifi_changed", "The Wi-Fi gets another password, and both devices lose it"):
            await self._home.change_wifi()
            for device in self._home.devices.values():
                await self._home.joined(device, None)
            await self._home.store_network()
        for model, device in self._home.devices.items():
            with self._story.step(f"again_{model}", f"The phone gives {model} the new password") as step:
                await self._home.press(device)
                if model == LAMP:
                    photo = await self._home.photograph(device)
                    done = await self._home.provision(photo, *self._home.wifi(self._stage.wifi_password))
                else:
                    done = await self._home.provision(device.label, "--server-network", STORED_NETWORK)
                require(done.last["purpose"] == "reprovision", "It is no new activation.")
                await self._home.joined(device, HOME)
                after = await self._home.enrolled(device)
                require(after.certificate == before[model].certificate, "The certificate is kept.")
                require(after.epoch == before[model].epoch, "The owner is kept.")
                step.facts["kept"] = "identity, owner, certificate"

    async def _revoke(self) -> None:
        plug = self._plug
        with self._story.step("revocation", "A revocation ends the plug's access within a second") as step:
            async with await HeldConnection.open(plug.state) as held, self._home.api() as owner:
                require(await held.ask() == 200, "The plug's certificate opens the device listener.")
                refusals = plug.told("access_refused")
                held_s, contact_s, revoked = await asyncio.gather(
                    held.refused_after_s(),
                    until(lambda: plug.told("access_refused") > refusals, "The plug is refused at its next contact."),
                    owner.revoke(plug.device_id, "lost"),
                )
            require(revoked.state == "revoked", "The registry says so.")
            step.facts |= {"held_connection_s": round(held_s, 3), "next_contact_s": round(contact_s, 3)}
            require(max(held_s, contact_s) < REVOKED_WITHIN_S, "Both end within a second.")

    async def _verify_audit_log(self) -> None:
        with self._story.step("audit", "The audit log verifies") as step:
            verified = await self._stage.admit("audit", "audit", "verify", "--config", self._stage.config)
            require(verified.last["ok"] is True, "The chain holds.")
            step.facts["rows"] = verified.last["rows"]

    def _show(self, picture: Path) -> str:
        text = scan.read_picture(picture)
        self._story.show_code(text)
        return text


def _is_isolated(device: RunningDevice) -> bool:
    if device.program is None:
        raise Misuse(f"{device.model} does not run.")
    ours, its = (Path(f"/proc/{process}/ns/net").readlink() for process in ("self", device.program.pid))
    return ours != its
