"""A server with an account and clients, for browsers and for authorization clients of others."""

import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from admittance.demo.processes import Programs
from admittance.demo.stage import Stage
from tests.browser_person import Person

REDIRECT_URI = "http://127.0.0.1:8912/callback"


@dataclass(frozen=True)
class Server:
    """The server, an account of it, and a client of each kind."""

    stage: Stage
    email: str
    password: str
    app: str
    backend: str
    secret: str

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.stage.people_ca)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.stage.origin, verify=self.trust, trust_env=False, timeout=30.0)

    def settings(self, flow: str, **more: str) -> dict[str, Any]:
        return {
            "flow": flow,
            "issuer": self.stage.origin,
            "client_id": self.app,
            "redirect_uri": REDIRECT_URI,
            "scope": "devices account",
            "resource": f"{self.stage.origin}/api/account",
            **more,
        }

    async def allow(self, url: str, user_code: str = "") -> str:
        async with self.http() as http:
            return await Person(http, self.email, self.password).allow(url, user_code=user_code)


@asynccontextmanager
async def oauth_server(folder: Path) -> AsyncIterator[Server]:
    """Started with a folder of its own, gone afterwards."""
    async with Programs(folder / "logs") as programs:
        stage = Stage(folder, programs)
        stage.write_config()
        await stage.serve()
        config = ("--config", stage.config)
        app = await stage.admit(
            *("app", "clients", "add", "Garden", "--scope", "devices account", "--redirect-uri", REDIRECT_URI),
            *("--grant", "authorization_code", "--grant", "refresh_token", "--grant", "device_code", *config),
        )
        backend = await stage.admit(
            *(
                "backend",
                "clients",
                "add",
                "Backend",
                "--authentication",
                "client_secret_basic",
                "--scope",
                "devices",
            ),
            *("--grant", "client_credentials", "--audience", "https://backend.example", *config),
        )
        email, password = "ann@example.org", secrets.token_urlsafe(12)
        invited = await stage.admit("invite", "account", "invite", email, *config)
        made = Server(
            stage, email, password, app.last["client_id"], backend.last["client_id"], backend.last["client_secret"]
        )
        async with made.http() as http:
            accepted = await http.post(
                "/api/invites/accept",
                json={
                    "secret": invited.last["link"].partition("#")[2],
                    "email": email,
                    "password": password,
                    "display_name": "Ann",
                },
            )
        assert accepted.status_code == 201, accepted.text
        yield made
