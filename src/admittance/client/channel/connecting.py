"""From a profile to a channel: which ways lead to a device, and what each end must know of the other."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec

from admittance.client.api import ApiClient
from admittance.client.channel import discovery
from admittance.client.channel.cards import MAX_RELAYS
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.channel.link import Way
from admittance.client.channel.local_link import Find, LocalWay
from admittance.client.channel.relay_link import RelayWay
from admittance.client.channel.session import Session
from admittance.client.network import PhoneNetwork, connect_from_host, transport
from admittance.client.session_store import SessionStore
from admittance.errors import AdmittanceError, AuthenticationFailed, NetworkFailure, NotFound, RelayBusy, Unavailable
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.wire.channel import Credential


@asynccontextmanager
async def connect(
    store: SessionStore,
    device_id: str,
    *,
    network: PhoneNetwork | None = None,
    local: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[DeviceChannel]:
    """An open channel to a device that the profile knows.

    It goes through the relay, and over the local network where no relay leads to the device.

    Args:
        network: the phone's network; this machine's where it is None.
        local: over the local network alone, without any server and without a login.
        told: takes sentences for people about channels lost and had again.

    Raises:
        NotFound: the profile doesn't know the device.
        AuthenticationFailed: nobody is logged in, or device and app do not accept each other.
        DeviceOffline, Unavailable, NetworkFailure: there is no way to the device now.
        NotAllowed: the account may not reach the device, or no longer.
    """
    device = store.devices.find(device_id)
    key = ChannelKey(store.app_keys().channel)
    async with connect_as(store, device, key, network=network, local=local, told=told) as channel:
        yield channel


@asynccontextmanager
async def connect_as(
    store: SessionStore,
    device: KnownDevice,
    key: ChannelKey,
    *,
    network: PhoneNetwork | None = None,
    local: bool = False,
    told: Callable[[str], None] = lambda _: None,
    find: Find | None = None,
) -> AsyncIterator[DeviceChannel]:
    """As `connect`, to a device that need not be in the profile, with a key that need not be the app's.

    `find` tells a device's address in the local network; multicast DNS does where it is None.
    """
    async with AsyncExitStack() as stack:
        ways: list[Way] = []
        if not local:
            ways.append(await _relay_way(stack, store, device, network))
        if network is None:
            ways.append(LocalWay(device.device_id, find or discovery.find))
        opener = _Opener(device, key, ways, lambda: _update(store, device, admission=b""))
        channel = DeviceChannel(device.device_id, opener, told=told)
        yield await stack.enter_async_context(channel)


async def _relay_way(
    stack: AsyncExitStack, store: SessionStore, device: KnownDevice, network: PhoneNetwork | None
) -> RelayWay:
    session = store.load()
    if device.origin not in ("", session.origin):
        raise AuthenticationFailed(
            f"{device.device_id} is connected to {device.origin}, and you are logged in to {session.origin}. "
            "Log in there: admit account login"
        )
    trust = session.trust()
    way = None if network is None else transport(network, trust)
    api = await stack.enter_async_context(ApiClient.of_store(store, transport=way))

    async def discover() -> Sequence[str]:
        urls = (await api.discover()).relay[:MAX_RELAYS]
        _update(store, device, relay_urls=urls)
        return urls

    connection = connect_from_host if network is None else network.open_connection
    return RelayWay(device.device_id, api, device.relay_urls, discover, connection, trust)


@dataclass
class _Opener:
    """Opens a channel on the first way that leads to the device."""

    device: KnownDevice
    key: ChannelKey
    ways: Sequence[Way]
    admitted: Callable[[], None]

    async def __call__(self) -> Session:
        failure: AdmittanceError | None = None
        for way in self.ways:
            try:
                return await self._open(way)
            except RelayBusy:
                raise
            except (NetworkFailure, Unavailable) as error:
                failure = failure or error
        raise failure or Unavailable("There is no way to the device.")

    async def _open(self, way: Way) -> Session:
        link = await way.open()
        channel = Channel.initiator(
            self.key,
            Credential.from_spki(self.device.channel),
            random=os.urandom,
            admission=self.device.admission,
            datagrams=link.datagrams,
        )
        session = await Session.open(link, channel)
        if self.device.admission:
            self.device = msgspec.structs.replace(self.device, admission=b"")
            self.admitted()
        return session


def _update(store: SessionStore, device: KnownDevice, **changes: object) -> None:
    """Keep what was learnt of a device that the profile knows."""
    try:
        known = store.devices.find(device.device_id)
    except NotFound:
        return
    store.devices.keep(msgspec.structs.replace(known, **changes))
