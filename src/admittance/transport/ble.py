"""Bluetooth controllers, by bumble: a USB dongle, a kernel's HCI socket, or the simulated air of the premises.

Import this only where Bluetooth is used: bumble takes some 30 MB of memory.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bumble.core import BaseBumbleError
from bumble.device import Device
from bumble.hci import Address
from bumble.keys import MemoryKeyStore
from bumble.transport import open_transport

from admittance.errors import ConfigurationError, Unavailable

OPEN_TIMEOUT_S: Final = 20.0
_NAME: Final = re.compile(r"(unix|hci-socket|usb|serial|tcp-client):.+")


@asynccontextmanager
async def controller(name: str, local_name: str) -> AsyncIterator[Device]:
    """The controller that bumble calls `name`, such as ``usb:0`` or ``unix:/run/air``, switched on.

    It shows itself under an address made for this time alone, and keeps no keys: nothing pairs. Raises
    `ConfigurationError` for a name that is none, `Unavailable` if the controller is not there or does not answer.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"{name} is no Bluetooth controller. Name one such as usb:0 or unix:PATH.")
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            transport = await open_transport(name)
    except (OSError, TimeoutError, BaseBumbleError, ValueError) as error:
        raise Unavailable(f"The Bluetooth controller {name} cannot be opened ({type(error).__name__}).") from error
    async with transport:
        device = Device.with_hci(local_name, Address.generate_static_address(), transport.source, transport.sink)
        device.keystore = MemoryKeyStore()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await device.power_on()
        except (TimeoutError, BaseBumbleError) as error:
            raise Unavailable(f"The Bluetooth controller {name} does not answer.") from error
        try:
            yield device
        finally:
            await device.power_off()
