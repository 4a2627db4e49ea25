"""A radio in the simulated premises."""

import asyncio
from pathlib import Path
from typing import Self

from admittance.device.radio.port import OnConnection, VisibleNetwork
from admittance.premises.station import Station


class SimulatedRadio:
    """`Radio` of one station of the premises."""

    def __init__(self, station: Station) -> None:
        self._station = station

    @classmethod
    async def attach(cls, socket_path: Path | str, name: str) -> Self:
        """Attach to the premises as `name`. Raises `Conflict` if the name is taken, `Unavailable`."""
        return cls(await Station.attach(socket_path, name))

    @property
    def joined(self) -> str | None:
        return self._station.joined

    async def scan(self) -> tuple[VisibleNetwork, ...]:
        return tuple(
            VisibleNetwork(s.ssid, s.bssid, s.channel, s.signal_dbm, s.auth) for s in await self._station.scan()
        )

    async def join(self, ssid: str, passphrase: str) -> None:
        await self._station.join(ssid, passphrase)

    async def leave(self) -> None:
        await self._station.leave()

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._station.open_connection(host, port)

    async def open_access_point(self, ssid: str, passphrase: str, on_connection: OnConnection) -> None:
        await self._station.open_access_point(ssid, passphrase, on_connection)

    async def close_access_point(self) -> None:
        await self._station.close_access_point()

    async def close(self) -> None:
        await self._station.close()
