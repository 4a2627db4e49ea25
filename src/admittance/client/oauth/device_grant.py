"""The device grant (RFC 8628) from the side of the program that shows the code."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from admittance.client.oauth.authorization_server import AuthorizationServer, TokenAnswer
from admittance.errors import AccessDenied, AuthenticationFailed, AuthorizationPending, ExpiredToken, SlowDown

SCOPE = "account devices"
SLOW_DOWN_S = 5
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class DeviceAuthorization(msgspec.Struct, frozen=True):
    """RFC 8628, section 3.2: what to show, and how often to ask."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: int
    verification_uri_complete: str = ""
    interval: int = 5

    def __repr__(self) -> str:
        return f"DeviceAuthorization(user_code={self.user_code!r}, verification_uri={self.verification_uri!r})"


class DeviceGrant:
    """`sleep` waits for seconds."""

    def __init__(
        self, server: AuthorizationServer, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._server = server
        self._sleep = sleep

    async def begin(self, scope: str = SCOPE) -> DeviceAuthorization:
        """Ask for codes; the person enters `user_code` at `verification_uri`."""
        return await self._server.ask("/oauth/device_authorization", {"scope": scope}, DeviceAuthorization)

    async def finish(self, begun: DeviceAuthorization) -> TokenAnswer:
        """Wait for the person's answer.

        Raises `AuthenticationFailed` when the person said no, or gave no answer in time.
        """
        interval = begun.interval
        form = {"grant_type": _GRANT, "device_code": begun.device_code}
        while True:
            await self._sleep(interval)
            try:
                return await self._server.ask("/oauth/token", form, TokenAnswer)
            except AuthorizationPending:
                continue
            except SlowDown:
                interval += SLOW_DOWN_S
            except (AccessDenied, ExpiredToken) as error:
                raise AuthenticationFailed(str(error)) from error
