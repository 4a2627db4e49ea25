"""python-zeroconf as the browser of our mDNS responder, on the loopback interface."""

import asyncio

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from admittance.device.local.mdns import Mdns
from admittance.device.local.responder import SERVICE, MdnsResponder

DEVICE = "ADJBSWY3DPEHPK3PXPJBSW"
TYPE = f"{SERVICE}."
PATIENCE_S = 15.0


async def test_a_browser_finds_the_device_and_sees_it_leave() -> None:
    seen: asyncio.Queue[tuple[str, ServiceStateChange]] = asyncio.Queue()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        assert service_type == TYPE
        if name.startswith(DEVICE):
            seen.put_nowait((name, state_change))

    loop = asyncio.get_running_loop()
    mdns = await Mdns.open("127.0.0.1", MdnsResponder(DEVICE, "127.0.0.1", 5683), loop.time)
    browsing = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    browser = AsyncServiceBrowser(browsing.zeroconf, TYPE, handlers=[changed])
    try:
        async with asyncio.timeout(PATIENCE_S):
            name, change = await seen.get()
            assert (name, change) == (f"{DEVICE}.{TYPE}", ServiceStateChange.Added)
            info = AsyncServiceInfo(TYPE, name)
            assert await info.async_request(browsing.zeroconf, PATIENCE_S * 1000)
            assert (info.port, info.parsed_addresses()) == (5683, ["127.0.0.1"])
            assert info.properties == {b"id": DEVICE.encode()}
            assert info.server == f"{DEVICE.lower()}.local."
            await mdns.close()
            while (await seen.get())[1] is not ServiceStateChange.Removed:
                pass
    finally:
        await browser.async_cancel()
        await browsing.async_close()
