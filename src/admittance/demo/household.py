"""An owner with a phone, and devices that were made: what scenarios and end-to-end tests act with."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from admittance.client import scan
from admittance.client.api import ApiClient
from admittance.client.api_types import Device
from admittance.client.session_store import SessionStore
from admittance.demo.processes import Outcome, Program
from admittance.demo.stage import HOME, Stage
from admittance.demo.steps import require
from admittance.device import control
from admittance.errors import Malformed, Misuse, Unavailable
from admittance.maker.labels import LABEL_PNG

OWNER = "owner@example.org"
STORED_NETWORK = "home"

WAIT_S = 45.0
POLL_INTERVAL_S = 0.05


@dataclass
class RunningDevice:
    """A device that was made, and its process once it runs."""

    model: str
    batch: Path
    device_id: str
    program: Program | None = None

    @property
    def birth(self) -> Path:
        return self.batch / self.device_id

    @property
    def label(self) -> Path:
        return self.birth / LABEL_PNG

    @property
    def state(self) -> Path:
        return self.batch.parent / f"{self.model}-state"

    @property
    def display(self) -> Path:
        return self.batch.parent / f"{self.model}-display.png"

    def shown(self) -> str | None:
        """Return the text of the code on the display, None when there is none."""
        try:
            return scan.read_picture(self.display)
        except Malformed:
            return None

    def told(self, event: str) -> int:
        """Return how often the agent told of `event`."""
        return sum(told["event"] == event for told in self._events())

    def _events(self) -> list[dict[str, Any]]:
        if self.program is None:
            return []
        lines = self.program.log.read_bytes().splitlines(keepends=True)
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")]


@dataclass
class Watched:
    """The events that a phone told of during one provisioning."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def find(self, name: str) -> dict[str, Any]:
        """Return the first event of that name."""
        found = [event for event in self.events if event.get("event") == name]
        require(bool(found), f"The phone tells of {name}.")
        return found[0]


@dataclass
class Household:
    """One owner's account, phone and devices on a stage.

    What `prefix` says begins the names of the owner's files, where a stage has several households.
    """

    stage: Stage
    owner: str = OWNER
    prefix: str = ""
    devices: dict[str, RunningDevice] = field(default_factory=dict)

    @property
    def profile(self) -> Path:
        return self.stage.folder / f"{self.prefix}phone"

    @property
    def password_file(self) -> Path:
        return self.stage.folder / f"{self.prefix}password"

    async def make(self, model: str, *kind: str, labelled: bool = True) -> RunningDevice:
        """Make one device, with its label unless that is not wanted; the maker must have been initialised."""
        stage, batch = self.stage, self.stage.folder / model
        made = await stage.admit(
            "maker", "maker", "make", stage.factory, "--model", model, "--count", "1", *kind, "--out", batch
        )
        if labelled:
            await stage.admit("maker", "maker", "label", batch)
        device = RunningDevice(model, batch, made.last["device_ids"][0])
        self.devices[model] = device
        return device

    async def open_account(self) -> None:
        """Invite the owner, accept the invitation, and log the phone in."""
        stage = self.stage
        invited = await stage.admit("account", "account", "invite", self.owner, "--config", stage.config)
        password = stage.secret_file(self.password_file.name, secrets.token_urlsafe(18))
        link = stage.secret_file(f"{self.prefix}link", invited.last["link"])
        await stage.admit(
            *("account", "account", "accept", "--link-file", link, "--email", self.owner, "--name", "Owner"),
            *("--password-file", password, "--ca-file", stage.people_ca),
        )
        await self.log_in(self.password_file)

    async def log_in(self, password_file: Path) -> None:
        """Log this phone in to the owner's account."""
        await self.stage.admit(
            *("account", "account", "login", self.owner, "--server", self.stage.origin),
            *("--ca-file", self.stage.people_ca, "--password-file", password_file, "--profile", self.profile),
        )

    async def store_network(self) -> None:
        """Store the Wi-Fi and its password of now at the server."""
        wifi = self.stage.secret_file("wifi", self.stage.wifi_password)
        await self.stage.admit(
            *("account", "account", "networks", "set", STORED_NETWORK, "--ssid", HOME),
            *("--passphrase-file", wifi, "--profile", self.profile),
        )

    async def change_wifi(self) -> None:
        """Give the Wi-Fi another password; whoever is on it loses it."""
        self.stage.wifi_password = secrets.token_urlsafe(12)
        wifi = self.stage.secret_file("wifi", self.stage.wifi_password)
        await self.stage.admit(
            *("premises-change", "premises", "set-passphrase", HOME, "--passphrase-file", wifi),
            *("--socket", self.stage.premises_socket),
        )

    async def switch_on(self, device: RunningDevice, *options: str) -> None:
        """Start a device's process."""
        shown = "none" if "--display" in options else f"png:{device.display}"
        display = () if "--display" in options else ("--display", shown)
        device.program = await self.stage.start_device(
            *(device.model, "--birth", device.birth, "--state", device.state),
            *("--premises", self.stage.premises_socket, *display, *options, "--json"),
        )

    async def opened(self, device: RunningDevice) -> None:
        """Wait until a device opened its access point. Raises `ProgramFailed` if its process ends."""
        if device.program is None:
            raise Misuse(f"{device.model} does not run.")

        async def is_open() -> bool:
            return device.told("access_point_opened") > 0

        await device.program.ready(is_open)

    async def press(self, device: RunningDevice) -> None:
        """Press a device's button."""
        await self.stage.admit(f"{device.model}-button", "device", "press", "--state", device.state)

    async def photograph(self, device: RunningDevice) -> Path:
        """Take a picture of the code on a display."""
        await until(lambda: device.shown() is not None, f"{device.model} shows a code.")
        photo = self.stage.folder / f"{device.model}-photo.png"
        photo.write_bytes(device.display.read_bytes())
        return photo

    def wifi(self, *passwords: str) -> tuple[str | Path, ...]:
        """Return the options that give the phone the Wi-Fi and the passwords to try."""
        return ("--network", HOME, "--password-file", self.stage.secret_file("typed", *passwords))

    async def provision(
        self, *arguments: str | Path, expect: int | None = 0, watched: Watched | None = None
    ) -> Outcome:
        """Run the phone: `admit provision`, without any network but the premises."""
        return await self.stage.admit_isolated(
            self.profile.name,
            "provision",
            *arguments,
            *("--premises", self.stage.premises_socket, "--profile", self.profile),
            expect=expect,
            on_object=None if watched is None else watched.events.append,
        )

    def phone_holds(self, secret: str) -> bool:
        """Return whether any file of the phone, or what it printed, holds `secret`."""
        kept = (path for path in self.profile.rglob("*") if path.is_file())
        files = [*kept, self.stage.folder / "logs" / f"{self.profile.name}.log"]
        return any(secret.encode() in file.read_bytes() for file in files)

    def api(self) -> ApiClient:
        """Return a client of the owner's login, to enter."""
        return ApiClient.of_store(SessionStore(self.profile))

    async def at_server(self, device: RunningDevice) -> Device:
        """Return what the server says of a device."""
        async with self.api() as client:
            return await client.device(device.device_id)

    async def enrolled(self, device: RunningDevice) -> Device:
        """Return what the server says of a device that must be active, with a certificate, on the Wi-Fi."""
        found = await self.at_server(device)
        require(found.state == "active", f"{device.model} is active.")
        require(found.certificate is not None, f"{device.model} has a certificate.")
        status = await control.ask(device.state, "status")
        require(bool(status["enrolled"]), f"{device.model} holds its certificate.")
        require(status["network"] == HOME, f"{device.model} keeps the Wi-Fi.")
        return found

    async def joined(self, device: RunningDevice, ssid: str | None) -> None:
        """Wait until a device is on `ssid`, or on no network."""
        await self.says(device, "joined", ssid, f"{device.model} is on {ssid or 'no network'}.")

    async def says(self, device: RunningDevice, name: str, value: str | None, what: str) -> None:
        """Wait until the status of a device has `value` under `name`. Raises `NotShown` with `what`."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if (await control.ask(device.state, "status"))[name] == value:
                    return
            except Unavailable:
                pass
            require(time.monotonic() < deadline, what)
            await asyncio.sleep(POLL_INTERVAL_S)

    def mailed(self) -> set[str]:
        """Return the ids of the devices that the owner has a mail about."""
        texts = [mail.as_string() for mail in self.stage.mails() if self.owner in str(mail["To"])]
        return {
            device.device_id for device in self.devices.values() if any(device.device_id in text for text in texts)
        }


async def until(condition: Callable[[], bool], what: str, within_s: float = WAIT_S) -> float:
    """Wait until `condition` holds, and return the seconds. Raises `NotShown` with `what`."""
    started = time.monotonic()
    while not condition():
        require(time.monotonic() - started < within_s, what)
        await asyncio.sleep(POLL_INTERVAL_S / 2)
    return time.monotonic() - started
