"""An app that sends a person's browser to the authorization server, and gets tokens for what comes back."""

import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.dpop import DpopKey
from admittance.client.oauth.authorization_server import AuthorizationServer
from admittance.client.oauth.pkce import Pkce
from admittance.client.oauth.prover import Prover
from tests.oauth_site import Server

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class App:
    """The client `Garden` of the server, at a loopback redirect URI with the port of the day."""

    server: Server
    redirect_uri: str = ""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(8))
    pkce: Pkce = field(default_factory=Pkce.generate)

    def __post_init__(self) -> None:
        key = DpopKey(ec.generate_private_key(ec.SECP256R1()))
        prover = Prover(self.server.stage.origin, key, time.time)
        self._authorization_server = AuthorizationServer(prover, self._send)

    @property
    def authorization_url(self) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.server.app,
            "redirect_uri": self.redirect_uri,
            "scope": "devices account",
            "state": self.state,
            "code_challenge": self.pkce.challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.server.stage.origin}/oauth/authorize?{urlencode(asked)}"

    async def redeem(self, code: str) -> httpx.Response:
        """The token endpoint's answer for a code."""
        form = {"grant_type": "authorization_code", "redirect_uri": self.redirect_uri, "code": code}
        return await self.ask("/oauth/token", {**form, "code_verifier": self.pkce.verifier})

    async def ask(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Post as this client. Raises what the server refuses it by."""
        return await self._authorization_server.post(path, {"client_id": self.server.app, **form})

    async def _send(self, path: str, form: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        async with self.server.http() as http:
            return await http.post(path, data=form, headers=headers)
