"""From a profile to a channel: which ways lead to a device, and what each end must know of the other."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from admittance.client.api import ApiClient
from admittance.client.channel import discovery
from admittance.client.channel.cards import MAX_RELAYS
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.channel.link import Way
from admittance.client.channel.local_link import Find, LocalWay
from admittance.client.channel.opener import WaysOpener
from admittance.client.channel.relay_link import RelayWay
from admittance.client.network import PhoneNetwork, connect_from_host, transport
from admittance.client.session_store import SessionStore
from admittance.errors import AuthenticationFailed, NotFound
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.wire.channel import Credential

REFUSED: Final = (
    "The device does not let this app in: the app was removed from the device's list, or the device was reset. "
    "Have another app add this one (admit credentials add), or set the device up again."
)


@asynccontextmanager
async def connect(
    store: SessionStore,
    device_id: str,
    *,
    network: PhoneNetwork | None = None,
    local: bool = False,
    ble: str = "",
    told: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[DeviceChannel]:
    """An open channel to a device that the profile knows.

    It goes through the relay, and over the local network where no relay leads to the device.

    Args:
        network: the phone's network; this machine's where it is None.
        local: over the local network alone, without any server and without a login.
        ble: over Bluetooth alone, by bumble's name of a controller, such as ``usb:0``; without server and login.
        told: takes sentences for people about channels lost and had again.

    Raises:
        NotFound: the profile doesn't know the device.
        AuthenticationFailed: nobody is logged in, or device and app do not accept each other.
        DeviceOffline, Unavailable, NetworkFailure: there is no way to the device now.
        NotAllowed: the account may not reach the device, or no longer.
    """
    device = store.devices.find(device_id)
    key = ChannelKey(store.app_keys().channel)
    async with connect_as(store, device, key, network=network, local=local, ble=ble, told=told) as channel:
        yield channel


@asynccontextmanager
async def connect_as(
    store: SessionStore,
    device: KnownDevice,
    key: ChannelKey,
    *,
    network: PhoneNetwork | None = None,
    local: bool = False,
    ble: str = "",
    told: Callable[[str], None] = lambda _: None,
    find: Find | None = None,
) -> AsyncIterator[DeviceChannel]:
    """As `connect`, to a device that need not be in the profile, with a key that need not be the app's.

    `find` tells a device's address in the local network; multicast DNS does where it is None.
    """
    async with AsyncExitStack() as stack:
        ways = ways_nearby(device.device_id, network, ble, find)
        if not ble and not local:

            def remember(relay_urls: Sequence[str]) -> None:
                _update(store, device, relay_urls=relay_urls)

            way = relay_way(stack, store, device.device_id, device.origin, device.relay_urls, remember, network)
            ways.insert(0, await way)
        channels = _AppChannels(device, key, lambda: _update(store, device, admission=b""))
        opener = WaysOpener(ways, channels.make, REFUSED, channels.opened)
        channel = DeviceChannel(device.device_id, opener, told=told)
        yield await stack.enter_async_context(channel)


def ways_nearby(device_id: str, network: PhoneNetwork | None, ble: str, find: Find | None) -> list[Way]:
    """The ways that need no server: Bluetooth alone where a controller is named, else this machine's network."""
    if ble:
        from admittance.client.channel.ble_link import BleWay

        return [BleWay(device_id, ble)]
    return [LocalWay(device_id, find or discovery.find)] if network is None else []


async def relay_way(
    stack: AsyncExitStack,
    store: SessionStore,
    device_id: str,
    origin: str,
    relay_urls: Sequence[str],
    remember: Callable[[Sequence[str]], None],
    network: PhoneNetwork | None,
) -> RelayWay:
    """The way to a device of the server at `origin` (empty: of the login's) through the relay, with the stored login.

    `remember` takes the relay's URLs where `relay_urls` were not right. Raises `AuthenticationFailed`.
    """
    session = store.load()
    if origin not in ("", session.origin):
        raise AuthenticationFailed(
            f"{device_id} is connected to {origin}, and you are logged in to {session.origin}. "
            "Log in there: admit account login"
        )
    trust = session.trust()
    way = None if network is None else transport(network, trust)
    api = await stack.enter_async_context(ApiClient.of_store(store, transport=way))

    async def discover() -> Sequence[str]:
        urls = (await api.discover()).relay[:MAX_RELAYS]
        remember(urls)
        return urls

    connection = connect_from_host if network is None else network.open_connection
    return RelayWay(device_id, api, relay_urls, discover, connection, trust)


class _AppChannels:
    """Makes channels by an app's key; an admission goes with them until the device has taken it."""

    def __init__(self, device: KnownDevice, key: ChannelKey, admitted: Callable[[], None]) -> None:
        self._peer = Credential.from_spki(device.channel)
        self._admission = device.admission
        self._key = key
        self._admitted = admitted

    def make(self, datagrams: bool) -> Channel:
        return Channel.initiator(
            self._key, self._peer, random=os.urandom, admission=self._admission, datagrams=datagrams
        )

    def opened(self) -> None:
        if self._admission:
            self._admission = b""
            self._admitted()


def _update(store: SessionStore, device: KnownDevice, **changes: object) -> None:
    """Keep what was learnt of a device that the profile knows."""
    try:
        known = store.devices.find(device.device_id)
    except NotFound:
        return
    store.devices.keep(msgspec.structs.replace(known, **changes))
