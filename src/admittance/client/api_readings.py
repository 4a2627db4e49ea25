"""Readings that devices send to the server, and the owner's consent to them."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from admittance.client import api_types as types
from admittance.client.api import ApiClient

CSV = "text/csv"
PAGE_ROWS = 1000


class ReadingsApi:
    """Methods raise what `ApiClient` raises."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def consent(self, device_id: str) -> types.ReadingsConsent:
        """What the owner agreed to."""
        return await self._client.ask("GET", _path(device_id, "consent"), types.ReadingsConsent)

    async def set_consent(
        self, device_id: str, readings: Sequence[str], *, erase: bool = False
    ) -> types.ReadingsConsent:
        """Agree to readings of these names and no others; with `erase`, what the server has of others is deleted."""
        content = {"readings": list(readings), "erase": erase}
        return await self._client.ask("PUT", _path(device_id, "consent"), types.ReadingsConsent, content)

    async def newest(self, device_id: str, count: int) -> list[types.Reading]:
        """The newest `count` readings of a device, newest first."""
        found: list[types.Reading] = []
        after = ""
        while len(found) < count:
            query = f"?limit={min(count - len(found), PAGE_ROWS)}{after}"
            page = await self._client.ask("GET", _path(device_id, "readings"), types.ReadingsPage, query=query)
            found += page.readings
            if page.next is None:
                break
            after = f"&before={quote(page.next, safe='')}"
        return found

    def table(self, device_id: str | None) -> AsyncIterator[bytes]:
        """CSV of a device's readings; as operator with None: of all that owners agree to."""
        path = "/api/readings" if device_id is None else _path(device_id, "readings")
        return self._client.download(path, CSV)


def _path(device_id: str, what: str) -> str:
    return f"/api/devices/{quote(device_id, safe='')}/{what}"
