"""Trying a premises network before keeping it."""

from collections.abc import Awaitable, Callable

from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.device.state import Memory, PremisesNetwork, ServerContact
from admittance.errors import AdmittanceError, NetworkFailure

Reach = Callable[[ServerContact], Awaitable[None]]


class Joining:
    """Joins networks. `reach` proves that the server answers through the joined one."""

    def __init__(self, radio: Radio, memory: Memory, reach: Reach, log: Log) -> None:
        self._radio = radio
        self._memory = memory
        self._reach = reach
        self._log = log

    async def try_network(self, network: PremisesNetwork, on_joined: Callable[[], None]) -> None:
        """Join `network`, reach the server if one is known, and only then keep it in place of the old one.

        On failure the old network is joined again, if there is one. `on_joined` is called once the network gave an
        address. Raises `NetworkFailure` with the true cause.
        """
        try:
            await self._radio.join(network.ssid, network.passphrase)
            self._log("joined", ssid=network.ssid)
            on_joined()
            await self._reach_server()
        except AdmittanceError as error:
            await self._go_back()
            if isinstance(error, NetworkFailure):
                raise
            raise NetworkFailure("no_server", str(error)) from error
        self._memory.change(network=network)
        self._log("network_kept", ssid=network.ssid)

    async def join_kept(self) -> bool:
        """Be on the kept network; False if there is none. Raises `NetworkFailure`."""
        network = self._memory.record.network
        if network is None:
            return False
        if self._radio.joined != network.ssid:
            await self._radio.join(network.ssid, network.passphrase)
            self._log("joined", ssid=network.ssid)
        return True

    async def _reach_server(self) -> None:
        server = self._memory.record.server
        if server is not None:
            await self._reach(server)
            self._log("server_reached")

    async def _go_back(self) -> None:
        await self._radio.leave()
        try:
            await self.join_kept()
        except NetworkFailure as error:
            self._log("contact_failed", cause=error.cause)
