"""A medical monitor as a process without any network, a server that it never meets, and guests in range."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.channel.ble_link import BleWay
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.possession.connecting import connect_with_key
from admittance.client.possession.hints import ask_hints
from admittance.client.possession.key_store import HeldKey
from admittance.client.session_store import SessionStore
from admittance.device.keys import load_private_key
from admittance.device.state import Record, StateFile
from admittance.errors import AdmittanceError
from admittance.premises import isolation
from admittance.protocol.access.authz_info import PossessionKey
from admittance.protocol.signing import SoftwareSigner, spki_of
from admittance.wire.channel import GET, PUT, Permission
from tests.agent_world import AgentProcess, World, agent_world
from tests.ble_world import air
from tests.offline_tokens import Issuer

EPOCH = 1
SCOPE = (Permission("/measurements", GET), Permission("/alarm", GET | PUT))


@dataclass
class Ward:
    """An owned monitor that is in range, and the server that issues tokens for it."""

    world: World
    controller: str
    options: tuple[str, ...]
    agent: AgentProcess
    issuer: Issuer

    @property
    def device_id(self) -> str:
        return self.world.made.birth.device_id

    @property
    def record(self) -> Record:
        """What the monitor has on its disk."""
        record = StateFile(self.world.state).load()
        assert record is not None
        return record

    def causes(self) -> list[str]:
        """Why the monitor refused access since it was switched on."""
        return [event["cause"] for event in self.agent.events if event["event"] == "access_refused"]

    def held(self, key: PossessionKey, epoch_list: bytes = b"") -> HeldKey:
        """The key as a guest's app keeps it."""
        return HeldKey(
            device_id=self.device_id,
            origin="",
            name="monitor",
            token=key.token,
            master_secret=key.master_secret,
            grant="",
            actions=[],
            expires_at=0,
            epoch_list=epoch_list,
        )

    def near(self, key: PossessionKey, folder: Path) -> AbstractAsyncContextManager[DeviceChannel]:
        """A channel over Bluetooth of who holds `key`."""
        return connect_with_key(SessionStore(folder), self.held(key), ble=self.controller)

    async def read(self, key: PossessionKey, folder: Path) -> Content | AdmittanceError:
        """The measurements, or why `key` gives none."""
        try:
            async with self.near(key, folder) as channel:
                return await channel.get("/measurements")
        except AdmittanceError as error:
            return error

    async def nonce(self) -> bytes:
        """What the monitor gives to be had in a token; empty where it knows the time."""
        return (await ask_hints(BleWay(self.device_id, self.controller))).cnonce

    async def power_cut(self) -> None:
        """The monitor is off, and on again: nobody tells it the time."""
        await self.agent.kill()
        self.agent = await self.world.start(*self.options)
        await self.agent.event("ble_opened")


@asynccontextmanager
async def ward(folder: Path, **options: Any) -> AsyncIterator[Ward]:
    """A monitor in a network namespace of its own, which was provisioned and has heard the time from its phone."""
    signer = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    command = (*isolation.prefix(), sys.executable, "-m", "admittance")
    async with air(folder) as controller, agent_world(folder, command=command, **options) as world:
        world.sealing.token_keys = [signer.spki]
        chosen = ("--application", "monitor", "--ble", controller)
        agent = await world.start(*chosen)
        await agent.event("code_shown")
        await (await world.meet()).configure()
        await agent.event("configured")
        await agent.event("ble_opened")
        opened = Ward(world, controller, chosen, agent, _issuer(world, signer))
        yield opened


def _issuer(world: World, signer: SoftwareSigner) -> Issuer:
    record = StateFile(world.state).load()
    assert record is not None
    access_spki = spki_of(load_private_key(record.keys.access).public_key())
    birth = world.made.birth
    return Issuer(birth.server_origin, birth.device_id, access_spki, EPOCH, SCOPE, signer)
