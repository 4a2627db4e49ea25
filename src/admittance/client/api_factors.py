"""Second factors over the people API: codes, approvals, authenticator app, phone, trusted apps."""

from typing import Any
from urllib.parse import quote

from admittance.client import api_types as types
from admittance.client.api import ApiClient


class FactorsApi:
    """The calls of a logged-in `ApiClient` about second factors; they raise what its own calls raise."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def make_code(self) -> types.MadeCode:
        return await self._client.ask("POST", "/api/enrolment-codes", types.MadeCode)

    async def pending(self) -> list[types.PendingEnrolment]:
        return (await self._client.ask("GET", "/api/enrolments/pending", types.PendingEnrolments)).enrolments

    async def approve(self, device_id: str) -> None:
        await self._client.call("POST", f"/api/enrolments/{quote(device_id, safe='')}/approve")

    async def deny(self, device_id: str) -> None:
        await self._client.call("POST", f"/api/enrolments/{quote(device_id, safe='')}/deny")

    async def show(self) -> types.Factors:
        return await self._client.ask("GET", "/api/account/factors", types.Factors)

    async def require(self, kinds: tuple[str, ...]) -> types.Factors:
        return await self._client.ask("PUT", "/api/account/factors", types.Factors, {"required": list(kinds)})

    async def begin_totp(self) -> types.TotpSeed:
        return await self._client.ask("POST", "/api/account/totp", types.TotpSeed)

    async def confirm_totp(self, code: str) -> None:
        await self._client.call("POST", "/api/account/totp/confirm", {"code": code})

    async def remove_totp(self) -> None:
        await self._client.call("DELETE", "/api/account/totp")

    async def set_phone(self, number: str) -> None:
        await self._client.call("PUT", "/api/account/phone", {"number": number})

    async def confirm_phone(self, code: str) -> None:
        await self._client.call("POST", "/api/account/phone/confirm", {"code": code})

    async def remove_phone(self) -> None:
        await self._client.call("DELETE", "/api/account/phone")

    async def trust(self, kind: str, value: str) -> types.Trust:
        """Confirm this app by a factor; an empty `value` of kind ``sms`` has a code sent."""
        content: dict[str, Any] = {"kind": kind, "value": value}
        return await self._client.ask("POST", "/api/account/trust", types.Trust, content)
