"""From a possession key to a channel: through the relay with a login, or over the local network without anything."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec

from admittance.client.channel.connecting import relay_way, ways_nearby
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.local_link import Find
from admittance.client.channel.opener import WaysOpener
from admittance.client.network import PhoneNetwork
from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.client.session_store import SessionStore
from admittance.errors import Refused
from admittance.protocol.channel.channel import Channel
from admittance.wire.offline import EPOCH_LIST_PATH

REFUSED: Final = (
    "The device does not take this key: its access was used up, has ended or was revoked, or the device has another "
    "owner. Ask for another key, or ask the owner."
)


@asynccontextmanager
async def connect_with_key(
    store: SessionStore,
    held: HeldKey,
    *,
    network: PhoneNetwork | None = None,
    local: bool = False,
    ble: str = "",
    told: Callable[[str], None] = lambda _: None,
    find: Find | None = None,
) -> AsyncIterator[DeviceChannel]:
    """An open channel to the device of `held`, which is good for what the key's grant allows.

    The arguments are those of `connecting.connect_as`, and so are the errors: `AuthenticationFailed` says that the
    device does not take the key. An offline device is told at once what has ended on it.
    """
    keys = KeyStore(store.directory)

    def remember(relay_urls: Sequence[str]) -> None:
        keys.keep(msgspec.structs.replace(held, relay_urls=list(relay_urls)))

    def make(datagrams: bool) -> Channel:
        return Channel.possessor(held.key, random=os.urandom, datagrams=datagrams)

    async with AsyncExitStack() as stack:
        ways = ways_nearby(held.device_id, network, ble, find)
        if not ble and not local:
            way = relay_way(stack, store, held.device_id, held.origin, held.relay_urls, remember, network)
            ways.insert(0, await way)
        channel = DeviceChannel(held.device_id, WaysOpener(ways, make, REFUSED), told=told)
        await stack.enter_async_context(channel)
        if held.epoch_list:
            with suppress(Refused):
                await channel.post(EPOCH_LIST_PATH, Content(held.epoch_list))
        yield channel
