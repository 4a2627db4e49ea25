"""Grants: what an owner lets guests do on its devices, and what one was let do oneself."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from admittance.client.api import ApiClient
from admittance.client.api_types import Answer


class GrantedAccess(Answer, frozen=True):
    """What a grant allows on one device, and how often it was used there."""

    device_id: str
    actions: tuple[str, ...]
    used: int
    ended_at: int | None


class GrantHours(Answer, frozen=True, rename={"from_": "from"}):
    """ISO weekdays, and times of day in an IANA zone."""

    weekdays: tuple[int, ...]
    from_: str
    to: str
    zone: str


class Invitation(Answer, frozen=True):
    """Whoever holds the link gets the grant."""

    link: str
    expires_at: int

    def __repr__(self) -> str:
        return "Invitation(…)"


class Grant(Answer, frozen=True):
    """A grant that one gave (`email` is the guest's) or was given (`owner` is who gave it). Times are Unix seconds.

    `open_until` is the end of the interval that is now, None outside the window. `accepted` is None for a grant to an
    address. A new grant by invitation has the `invitation`.
    """

    grant: str
    name: str
    access: tuple[GrantedAccess, ...]
    begins_at: int
    ends_at: int
    hours: GrantHours | None
    uses: int
    integrity: bool
    created_at: int
    ended_at: int | None
    open_until: int | None
    email: str | None = None
    accepted: bool | None = None
    owner: str | None = None
    invitation: Invitation | None = None


class GrantList(Answer, frozen=True):
    given: list[Grant]
    received: list[Grant]


class GrantEvent(Answer, frozen=True):
    """A row of the server's audit chain; `mac` is the chain's."""

    number: int
    at: int
    event: str
    by: str
    details: dict[str, Any]
    mac: str


class GrantHistory(Answer, frozen=True):
    events: list[GrantEvent]


class GrantsApi:
    """Methods raise what `ApiClient` raises."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def give(
        self,
        device_id: str,
        actions: Sequence[str],
        *,
        name: str,
        email: str | None,
        begins_at: int,
        ends_at: int,
        hours: Mapping[str, Any] | None = None,
        uses: int = 0,
        integrity: bool = False,
    ) -> Grant:
        """Let the account of `email` do `actions`, such as ``PUT /lock``; None makes an invitation.

        `hours` has ``weekdays``, ``from``, ``to`` and ``zone``.
        """
        content = {
            "name": name,
            "email": email,
            "access": [{"device_id": device_id, "actions": list(actions)}],
            "begins_at": begins_at,
            "ends_at": ends_at,
            "hours": hours,
            "uses": uses,
            "integrity": integrity,
        }
        return await self._client.ask("POST", "/api/grants", Grant, content)

    async def all(self) -> GrantList:
        """What the account gave, and what it was given."""
        return await self._client.ask("GET", "/api/grants", GrantList)

    async def show(self, grant: str) -> Grant:
        return await self._client.ask("GET", _path(grant), Grant)

    async def change(self, grant: str, changes: Mapping[str, Any]) -> Grant:
        """`changes` are members of the grant as `POST /api/grants` has them; others stay as they are."""
        return await self._client.ask("PATCH", _path(grant), Grant, dict(changes))

    async def revoke(self, grant: str) -> Grant:
        return await self._client.ask("DELETE", _path(grant), Grant)

    async def accept(self, secret: str) -> Grant:
        """Take an invitation with the account that is logged in."""
        return await self._client.ask("POST", "/api/grants/accept", Grant, {"secret": secret})

    async def history(self, grant: str) -> list[GrantEvent]:
        return (await self._client.ask("GET", _path(grant) + "/history", GrantHistory)).events


def _path(grant: str) -> str:
    return f"/api/grants/{quote(grant, safe='')}"
