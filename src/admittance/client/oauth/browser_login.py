"""Log in in a browser on this machine: authorization code, PKCE and a loopback redirect URI (RFC 8252, section 7.3).

The password goes from the browser to the server and never comes here. What is asked for is pushed beforehand
(RFC 9126), so nothing in the browser's address tells of it or changes it.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from admittance.client.oauth.authorization_server import CLIENT_ID, AuthorizationServer, TokenAnswer
from admittance.client.oauth.callback import CallbackListener
from admittance.client.oauth.pkce import Pkce
from admittance.errors import AuthenticationFailed

ANSWER_S = 600.0
"""As long as the server keeps the pages open."""


class _Pushed(msgspec.Struct, frozen=True):
    request_uri: str


class BrowserLogin:
    """`origin` is the server's, its issuer identifier."""

    def __init__(self, server: AuthorizationServer, origin: str) -> None:
        self._server = server
        self._origin = origin

    async def run(self, show: Callable[[str], None], *, answer_s: float = ANSWER_S) -> TokenAnswer:
        """Have the person log in and allow; `show` gets the address to open in a browser on this machine.

        Raises `AuthenticationFailed` when the person said no, or gave no answer within `answer_s` seconds.
        """
        pkce, state = Pkce.generate(), secrets.token_urlsafe(16)
        async with CallbackListener.open(lambda answer: self._is_ours(answer, state)) as listener:
            asked = {
                "response_type": "code",
                "redirect_uri": listener.uri,
                "state": state,
                "code_challenge": pkce.challenge,
                "code_challenge_method": "S256",
            }
            pushed = await self._server.ask("/oauth/par", asked, _Pushed)
            query = urlencode({"client_id": CLIENT_ID, "request_uri": pushed.request_uri})
            show(f"{self._origin}/oauth/authorize?{query}")
            try:
                answer = await asyncio.wait_for(listener.answer, answer_s)
            except TimeoutError:
                raise AuthenticationFailed("Nobody logged in within ten minutes. Log in again.") from None
            if "code" not in answer:
                raise AuthenticationFailed(f"The login ended without access ({answer['error']}). Log in again.")
            return await self._server.redeem(answer["code"], pkce.verifier, listener.uri)

    def _is_ours(self, answer: dict[str, str], state: str) -> bool:
        """Whether our server sent the browser here (RFC 9207) for this login: anybody on this machine may come."""
        is_of_login = hmac.compare_digest(answer.get("state", "").encode(), state.encode())
        return is_of_login and answer.get("iss") == self._origin and ("code" in answer) != ("error" in answer)
