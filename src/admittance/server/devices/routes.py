"""The setup code's page and API, and the models that this server takes."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.server.accounts.authenticate import Authenticator
from admittance.server.activation.challenges import Challenges
from admittance.server.activation.model import Caller
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.service import SetupService
from admittance.server.http import body, reply
from admittance.wire import base64url

WINDOW_NONCE_BYTES = 16
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
}
Handler = Callable[[Request], Awaitable[Response]]


class AskPresenceCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    challenge: str
    device_id: str
    window_nonce: str


def routes(
    *, authenticator: Authenticator, setup: SetupService, challenges: Challenges, catalogue: Catalogue
) -> list[Route]:
    handlers = _Handlers(authenticator, setup, challenges, catalogue)
    return [
        Route("/d/{device_id}", _page("setup.html"), methods=["GET"]),
        Route("/manual", _page("manual.html"), methods=["GET"]),
        Route("/d/{device_id}", handlers.setup, methods=["POST"]),
        Route("/api/models", handlers.models, methods=["GET"]),
        Route("/api/presence-codes", handlers.presence_code, methods=["POST"]),
    ]


class _Handlers:
    def __init__(
        self, authenticator: Authenticator, setup: SetupService, challenges: Challenges, catalogue: Catalogue
    ) -> None:
        self._authenticator = authenticator
        self._setup = setup
        self._challenges = challenges
        self._catalogue = catalogue

    async def setup(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        device_id = request.path_params["device_id"]
        found = await self._setup.setup(device_id, account.account_id)
        issued = await self._challenges.issue(Caller(account.account_id, account.jkt), device_id)
        return reply(
            {
                "device_id": found.device_id,
                "model": found.model,
                "display_name": found.display_name,
                "presence": found.presence,
                "challenge": base64url.encode(issued.challenge),
                "expires_at": issued.expires_at,
                "access_point": {"ssid": found.access_point.ssid, "passphrase": found.access_point.passphrase},
            }
        )

    async def presence_code(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        asked = await body(request, AskPresenceCode)
        challenge = base64url.decode(asked.challenge, length=32)
        window_nonce = base64url.decode(asked.window_nonce, length=WINDOW_NONCE_BYTES)
        await self._challenges.require(Caller(account.account_id, account.jkt), challenge, asked.device_id)
        code = await self._setup.presence_code(asked.device_id, account.account_id, window_nonce)
        return reply({"username": code.code_id, "code": code.code})

    async def models(self, request: Request) -> Response:
        await self._authenticator.account(request, scope="devices")
        return reply(
            {
                "models": [
                    {
                        "model": model.model,
                        "display_name": model.display_name,
                        "manual_url": model.manual_url,
                        "presence": model.presence,
                        "minimum_assurance": model.minimum_assurance,
                    }
                    for model in self._catalogue.models()
                ]
            }
        )


def _page(name: str) -> Handler:
    """A page that is the same for everybody and every device id."""
    content = (files("admittance") / "web" / name).read_bytes()

    async def page(_request: Request) -> Response:
        return Response(content, media_type="text/html", headers=_PAGE_HEADERS)

    return page
