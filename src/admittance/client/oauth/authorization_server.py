"""The endpoints of the authorization server, as our own public client uses them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import msgspec

from admittance.client.api_problems import error_of
from admittance.client.oauth.pkce import Pkce
from admittance.client.oauth.prover import Prover
from admittance.errors import AccessDenied, AuthenticationFailed, InvalidGrant, Malformed, NonceRequired

CLIENT_ID = "admittance-cli"
NONCE_TRIES = 2
NONCE_NOT_TAKEN = "The server does not take its own nonce. Is this machine's clock right?"

A = TypeVar("A")
SendForm = Callable[[str, dict[str, str], dict[str, str]], Awaitable[httpx.Response]]
"""Posts a form: path, parameters, headers."""


class TokenAnswer(msgspec.Struct, frozen=True):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"TokenAnswer(token_type={self.token_type!r}, expires_in={self.expires_in}, scope={self.scope!r})"


class _Code(msgspec.Struct, frozen=True):
    authorization_code: str


class AuthorizationServer:
    """Asks for tokens; refusals are raised as the errors that they are."""

    def __init__(self, prover: Prover, send: SendForm) -> None:
        self._prover = prover
        self._send = send

    async def login(self, email: str, password: str) -> TokenAnswer:
        """Tokens for a password, by a code that is bound to this client's key.

        Raises `AuthenticationFailed` when address or password is wrong.
        """
        pkce = Pkce.generate()
        asked = {
            "username": email,
            "password": password,
            "code_challenge": pkce.challenge,
            "code_challenge_method": "S256",
        }
        try:
            code = await self.ask("/oauth/authorize-challenge", asked, _Code)
        except AccessDenied as error:
            raise AuthenticationFailed(str(error)) from error
        return await self.redeem(code.authorization_code, pkce.verifier)

    async def redeem(self, code: str, verifier: str, redirect_uri: str | None = None) -> TokenAnswer:
        """Tokens for an authorization code (RFC 6749, section 4.1.3)."""
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        if redirect_uri is not None:
            form["redirect_uri"] = redirect_uri
        return await self.ask("/oauth/token", form, TokenAnswer)

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        """The next tokens of a login; `refresh_token` is used up, even if the answer gets lost.

        Raises `AuthenticationFailed` when the login has ended.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return await self.ask("/oauth/token", form, TokenAnswer)
        except InvalidGrant:
            raise AuthenticationFailed("Your login has ended. Log in again: admit account login") from None

    async def exchange(self, access_token: str, form: dict[str, str], into: type[A]) -> A:
        """Exchange the login's access token for another token (RFC 8693, section 2.1)."""
        asked = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": access_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        return await self.ask("/oauth/token", {**asked, **form}, into)

    async def revoke(self, token: str) -> None:
        """End the login that a token belongs to (RFC 7009)."""
        await self.post("/oauth/revoke", {"token": token})

    async def ask(self, path: str, form: dict[str, str], into: type[A]) -> A:
        """Post a form and read its answer `into` a type."""
        response = await self.post(path, form)
        try:
            return msgspec.json.decode(response.content, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{self._prover.origin} gave an answer that is none of OAuth.") from error

    async def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Post a form with a proof; once more with the server's nonce where it asks for one."""
        for _ in range(NONCE_TRIES):
            headers = self._prover.headers("POST", path)
            response = await self._send(path, {"client_id": CLIENT_ID, **form}, headers)
            self._prover.take(response.headers)
            if response.is_success:
                return response
            error = error_of(response)
            if not isinstance(error, NonceRequired):
                raise error
        raise AuthenticationFailed(NONCE_NOT_TAKEN)
