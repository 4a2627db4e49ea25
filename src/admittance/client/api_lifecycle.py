"""What owners and operators say of devices after their enrolment."""

from typing import Literal
from urllib.parse import quote

from admittance.client import api_types as types
from admittance.client.api import ApiClient

Said = Literal["lost", "stolen", "found", "keep"]


class LifecycleApi:
    """Methods raise what `ApiClient` raises."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def say(self, device_id: str, said: Said) -> types.Device:
        """The owner's word: lost, stolen, found again, or that a release by the operator is not wanted."""
        return await self._client.ask("POST", _path(device_id, said), types.Device)

    async def decommission(self, device_id: str, reason: str) -> None:
        await self._client.call("POST", _path(device_id, "decommission"), {"reason": reason})

    async def assign(self, device_id: str, email: str | None) -> types.Device:
        """As operator: only that account may claim the device; None: anybody."""
        return await self._client.ask("POST", _path(device_id, "assign"), types.Device, {"email": email})

    async def announce_release(self, device_id: str) -> types.Device:
        """As operator: release the device after notice to its owner."""
        return await self._client.ask("POST", _path(device_id, "release-notice"), types.Device)

    async def history(self, device_id: str) -> list[types.HistoryEvent]:
        return (await self._client.ask("GET", _path(device_id, "history"), types.History)).events


def _path(device_id: str, action: str) -> str:
    return f"/api/devices/{quote(device_id, safe='')}/{action}"
