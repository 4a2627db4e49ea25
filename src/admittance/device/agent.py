"""The device agent: composes what a device is made of, and lives one life after another.

A factory reset wipes the record first, then tells the server while the network is still there; if that fails, the
report follows at the next contact. The life after it begins as at power-up.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from random import SystemRandom
from secrets import token_bytes
from typing import Final

from admittance.device.clock import TrustedClock
from admittance.device.contact import open_first_contact
from admittance.device.control import Answer, ControlSocket
from admittance.device.display.port import Display
from admittance.device.enrolment import Enrolment
from admittance.device.keys import Made, make_keys
from admittance.device.life import Life, Ports, Settings
from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.device.state import FolderLock, Memory, ServerContact, StateFile, recall
from admittance.device.talking import forget
from admittance.errors import AdmittanceError, Unavailable
from admittance.wire import cbor, message
from admittance.wire.enrolment import Factor

REPORT_TIMEOUT_S: Final = 5.0


class Agent:
    """One device: what its control socket can ask of it, and its lives."""

    def __init__(self, made: Made, memory: Memory, ports: Ports, settings: Settings) -> None:
        self._made = made
        self._memory = memory
        self._ports = ports
        self._settings = settings
        self._life: Life | None = None

    async def run(self) -> None:
        """Live until cancelled."""
        log = self._ports.log
        log("started", device_id=self._made.birth.device_id, owned=self._memory.record.owned)
        while True:
            self._life = Life(self._made, self._memory, self._ports, self._settings)
            try:
                await self._life.live()
            finally:
                self._life = None
            await self._reset()

    async def press(self) -> Answer:
        """The button: opens provisioning."""
        await self._living().press()
        return {"access_point": self._made.birth.access_point_ssid}

    async def reset(self) -> Answer:
        """Factory reset: ends the present life."""
        self._living().end()
        return {"resets": self._memory.record.resets + 1}

    async def status(self) -> Answer:
        """Who the device is and how it is doing; nothing secret."""
        record = self._memory.record
        talking = self._living().talking
        return {
            "device_id": self._made.birth.device_id,
            "model": self._made.birth.model,
            "owned": record.owned,
            "epoch": record.epoch,
            "resets": record.resets,
            "enrolled": record.operational is not None,
            "network": None if record.network is None else record.network.ssid,
            "joined": self._ports.radio.joined,
            "relay": talking.relay or None,
            "credentials": len(record.credentials.entries),
            "channels": talking.channels,
            "access_point_open": self._living().access_point_open,
            "factor": self._living().factor.cause,
            "factors": list(self._living().factor.kinds),
        }

    async def code(self) -> Answer:
        """An enrolment code for one more device of this device's owner."""
        made = await self._living().enrolment_code()
        return {"code": made.code, "expires_at": made.expires_at}

    async def factor(self, arguments: dict[str, str]) -> Answer:
        """A person typed in a second factor."""
        given = {name: arguments.get(name, "") for name in ("kind", "value")}
        self._living().keyboard.give(message.decode(cbor.encode([given["kind"], given["value"]]), Factor))
        return {"given": given["kind"]}

    async def network(self, arguments: dict[str, str]) -> Answer:
        """A person named a network."""
        await self._living().use_network(arguments.get("ssid", ""), arguments.get("passphrase", ""))
        return {"network": arguments.get("ssid", "")}

    async def login(self, arguments: dict[str, str]) -> Answer:
        """A person typed in address and password."""
        await self._living().log_in(arguments.get("email", ""), arguments.get("password", ""))
        return {"started": True}

    async def _reset(self) -> None:
        server = self._memory.record.server
        self._memory.reset(make_keys(self._made.birth))
        forget(self._ports.folder)
        self._ports.log("reset", resets=self._memory.record.resets)
        if server is not None and self._memory.record.reset_unreported:
            with contextlib.suppress(AdmittanceError, TimeoutError):
                async with asyncio.timeout(REPORT_TIMEOUT_S):
                    await self._report_reset(server)
        await self._ports.radio.leave()

    async def _report_reset(self, server: ServerContact) -> None:
        clock = TrustedClock(self._ports.monotonic, self._memory.record.time_floor)
        enrolment = Enrolment(self._made, self._memory, clock, self._ports.log)
        await enrolment.report_reset(open_first_contact(self._ports.radio, server, clock))

    def _living(self) -> Life:
        if self._life is None:
            raise Unavailable("The device is being reset. Try again in a moment.")
        return self._life


async def run(made: Made, *, state: Path, radio: Radio, display: Display, log: Log, settings: Settings) -> None:
    """Run a device with its memory in the folder `state` until cancelled.

    Raises `ConfigurationError` if the folder is another agent's or damaged, `OSError` if the disk fails.
    """
    lock = FolderLock(state)
    try:
        memory = recall(StateFile(state), lambda: make_keys(made.birth))
        if memory.record.server is None:
            forget(state)
        ports = Ports(
            radio=radio,
            display=display,
            log=log,
            monotonic=time.monotonic,
            random=token_bytes,
            jitter=SystemRandom().random,
            folder=state,
        )
        agent = Agent(made, memory, ports, settings)
        control = ControlSocket(
            state,
            {"press": agent.press, "reset": agent.reset, "status": agent.status, "code": agent.code},
            {"factor": agent.factor, "network": agent.network, "login": agent.login},
        )
        await control.open()
        try:
            await agent.run()
        finally:
            await control.close()
    finally:
        lock.release()
