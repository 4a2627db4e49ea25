"""Apps of people, each with keys of its own, on the way to real devices."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from admittance.client.channel.cards import AppCard
from admittance.client.channel.connecting import connect_as
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.session_store import KEY_FILE, SESSION_FILE, Session, SessionStore
from admittance.errors import AdmittanceError, DeviceOffline
from admittance.protocol.channel.edhoc import ChannelKey
from tests.attack.site import Login
from tests.attack.world import Device, until

LOCK = "/lock"
LOCKED, UNLOCKED = Content.of_cbor({"state": "locked"}), Content.of_cbor({"state": "unlocked"})


class HasId(Protocol):
    """A device, whoever it is."""

    @property
    def device_id(self) -> str: ...


@dataclass
class App:
    """An app that knows devices. Whose login it has, if any, is another matter."""

    store: SessionStore

    @classmethod
    def logged_in(cls, login: Login, ca_pem: str, folder: Path) -> "App":
        """An app with keys of its own and that login; its profile is `folder`."""
        store = SessionStore(folder)
        folder.mkdir(parents=True)
        login.key.save(folder / KEY_FILE)
        store.save(
            Session(
                origin=login.origin,
                ca_pem=ca_pem,
                email=login.email,
                account_id=login.account_id,
                access_token=login.token,
                refresh_token="",
                expires_at=int(time.time()) + 3600,
            )
        )
        return cls(store)

    @property
    def profile(self) -> Path:
        return self.store.directory

    @property
    def key(self) -> ChannelKey:
        return ChannelKey(self.store.app_keys().channel)

    @property
    def kid(self) -> bytes:
        return self.key.credential.kid

    @property
    def card(self) -> AppCard:
        return self.store.app_keys().card(self.profile.name)

    def knows(self, device: HasId) -> KnownDevice:
        return self.store.devices.find(device.device_id)

    def learn(self, device: KnownDevice, admission: bytes = b"") -> None:
        """Hear from somebody else of a device, and of an admission to it."""
        self.store.devices.keep(msgspec.structs.replace(device, admission=admission))

    def another(self, folder: Path) -> "App":
        """One more app with the same login, and keys of its own."""
        folder.mkdir(parents=True)
        for name in (SESSION_FILE, KEY_FILE):
            shutil.copy(self.profile / name, folder / name)
        return App(SessionStore(folder))

    def far(self, device: HasId, key: ChannelKey | None = None) -> AbstractAsyncContextManager[DeviceChannel]:
        """A channel through the relay, with another key than the app's if one is given."""
        return connect_as(self.store, self.knows(device), key or self.key, find=_nowhere)

    def near(self, device: Device) -> AbstractAsyncContextManager[DeviceChannel]:
        """A channel over the local network."""

        async def find(_device_id: str) -> tuple[str, int]:
            return "127.0.0.1", int(device.events("local_opened")[-1]["port"])

        return connect_as(self.store, self.knows(device), self.key, local=True, find=find)

    def ways(self, device: Device) -> tuple[AbstractAsyncContextManager[DeviceChannel], ...]:
        return self.far(device), self.near(device)

    async def refusal(self, way: AbstractAsyncContextManager[DeviceChannel]) -> AdmittanceError:
        """Why no channel comes about."""
        try:
            async with way as channel:
                await channel.get("/info", timeout_s=5)
        except AdmittanceError as error:
            return error
        raise AssertionError("The device let this app in.")


@dataclass
class Watch:
    """What an app is shown of a lock, and why that ended."""

    states: list[str] = field(default_factory=list)
    ended: AdmittanceError | None = None

    async def run(self, channel: DeviceChannel) -> None:
        try:
            async with aclosing(channel.observe(LOCK)) as contents:
                async for content in contents:
                    self.states.append(content.plain()["state"])
        except AdmittanceError as error:
            self.ended = error


@asynccontextmanager
async def watching(*channels: DeviceChannel) -> AsyncIterator[list[Watch]]:
    """Observe a lock on each channel; all have been shown its state when this is entered."""
    watches = [Watch() for _ in channels]
    tasks = [asyncio.create_task(watch.run(channel)) for watch, channel in zip(watches, channels, strict=True)]
    try:
        await until(lambda: all(watch.states for watch in watches), "Each app is shown the lock.")
        yield watches
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nowhere(device_id: str) -> tuple[str, int]:
    raise DeviceOffline(f"{device_id} is not in this network.")
