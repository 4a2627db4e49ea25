"""Devices that announce themselves in the local network by multicast DNS."""

import asyncio
from collections.abc import Sequence
from typing import Final

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from admittance.errors import DeviceOffline, Unreachable

SERVICE: Final = "_admittance._udp.local."
ID_KEY: Final = b"id"
FIND_TIMEOUT_S: Final = 3.0
RESOLVE_TIMEOUT_MS: Final = 1500


async def find(
    device_id: str, *, interfaces: Sequence[str] | None = None, find_timeout_s: float = FIND_TIMEOUT_S
) -> tuple[str, int]:
    """Address and port of a device, as it announces them. What is announced proves nothing; the channel does.

    Args:
        interfaces: addresses of the interfaces to ask on; all of this machine where it is None.
        find_timeout_s: how long to wait for an announcement.

    Raises:
        DeviceOffline: nothing in the network answers for the device.
        Unreachable: this machine is in no network that carries multicast.
    """
    try:
        zeroconf = AsyncZeroconf(interfaces=list(interfaces)) if interfaces else AsyncZeroconf()
    except OSError as error:
        raise Unreachable("This computer is in no local network.") from error
    try:
        async with asyncio.timeout(find_timeout_s):
            return await _first(zeroconf, device_id)
    except TimeoutError:
        raise DeviceOffline(
            f"{device_id} is not seen in the local network. Is it on, in this network, and run with --local?"
        ) from None
    finally:
        await zeroconf.async_close()


async def _first(zeroconf: AsyncZeroconf, device_id: str) -> tuple[str, int]:
    names: asyncio.Queue[str] = asyncio.Queue()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            names.put_nowait(name)

    browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[changed])
    try:
        while True:
            info = AsyncServiceInfo(SERVICE, await names.get())
            await info.async_request(zeroconf.zeroconf, RESOLVE_TIMEOUT_MS)
            addresses = info.parsed_scoped_addresses(IPVersion.All)
            if info.properties.get(ID_KEY) == device_id.encode() and addresses and info.port:
                return addresses[0], info.port
    finally:
        await browser.async_cancel()
