"""Second factors: routes of the people, the device and the first-contact listener."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.protocol.enrolment.login import sign_bootstrap
from admittance.protocol.signing import Signer
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.throttle import source_of
from admittance.server.activation.sealing import ServerAddresses
from admittance.server.clock import Clock
from admittance.server.enrolment.factors.logins import DeviceLogins
from admittance.server.enrolment.factors.model import MadeCode
from admittance.server.enrolment.factors.people import FactorSettings
from admittance.server.enrolment.model import AuthenticatedDevice
from admittance.server.http import Uncached, body, cbor_body, cbor_reply, raw_body, reply
from admittance.wire import factors as wire
from admittance.wire.enrolment import Factor, FactorKind

MAX_LOGIN_BYTES = 4 * 1024
MAX_VALUE_CHARACTERS = 64

DeviceOf = Callable[[Request], Awaitable[AuthenticatedDevice]]


class AskKinds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    required: tuple[FactorKind, ...]


class AskCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str


class AskNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str


class AskTrust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: FactorKind
    value: str = ""


def first_contact_routes(logins: DeviceLogins) -> list[Route]:
    async def login(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/cbor":
            raise Malformed("Send the body as application/cbor.")
        return cbor_reply(await logins.start(await raw_body(request, MAX_LOGIN_BYTES), source_of(request)))

    return [Route("/enrolment/login", login, methods=["POST"])]


def device_routes(device_of: DeviceOf, settings: FactorSettings) -> list[Route]:
    """Routes for authenticated devices, on whichever listener; `device_of` authenticates a request."""

    async def make(request: Request) -> Response:
        made = await settings.code_for_device(await device_of(request))
        return cbor_reply(wire.MadeCode(made.code, made.expires_at), status=201)

    return [Route("/device/enrolment-codes", make, methods=["POST"])]


def bootstrap_route(addresses: ServerAddresses, signer: Signer, chain: tuple[bytes, ...], clock: Clock) -> Route:
    """For a device that knows its server's origin alone: where the listeners are, signed."""

    async def bootstrap(request: Request) -> Response:
        asked = await cbor_body(request, wire.BootstrapRequest)
        answer = wire.Bootstrap(
            asked.device_nonce,
            addresses.origin,
            addresses.first_contact_url,
            addresses.device_url,
            list(addresses.anchors),
            int(clock()),
        )
        signed = sign_bootstrap(answer, signer, chain)
        return Uncached(signed, "application/cbor")

    return Route("/enrolment/bootstrap", bootstrap, methods=["POST"])


def people_routes(authenticator: Authenticator, settings: FactorSettings) -> list[Route]:
    handlers = _People(authenticator, settings)
    return [
        Route("/api/enrolment-codes", handlers.make_code, methods=["POST"]),
        Route("/api/enrolments/pending", handlers.pending, methods=["GET"]),
        Route("/api/enrolments/{device_id}/approve", handlers.approve, methods=["POST"]),
        Route("/api/enrolments/{device_id}/deny", handlers.deny, methods=["POST"]),
        Route("/api/account/factors", handlers.status, methods=["GET"]),
        Route("/api/account/factors", handlers.require, methods=["PUT"]),
        Route("/api/account/totp", handlers.begin_totp, methods=["POST"]),
        Route("/api/account/totp/confirm", handlers.confirm_totp, methods=["POST"]),
        Route("/api/account/totp", handlers.remove_totp, methods=["DELETE"]),
        Route("/api/account/phone", handlers.set_phone, methods=["PUT"]),
        Route("/api/account/phone/confirm", handlers.confirm_phone, methods=["POST"]),
        Route("/api/account/phone", handlers.remove_phone, methods=["DELETE"]),
        Route("/api/account/trust", handlers.trust, methods=["POST"]),
    ]


class _People:
    def __init__(self, authenticator: Authenticator, settings: FactorSettings) -> None:
        self._authenticator = authenticator
        self._settings = settings

    async def make_code(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        return reply(_code(await self._settings.code_for_app(account)), status=201)

    async def pending(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        return reply({"enrolments": await self._settings.pending(account)})

    async def approve(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        await self._settings.decide(account, request.path_params["device_id"], approve=True)
        return Response(status_code=204)

    async def deny(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        await self._settings.decide(account, request.path_params["device_id"], approve=False)
        return Response(status_code=204)

    async def status(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        return reply(await self._settings.status(account))

    async def require(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        await self._settings.require(account, (await body(request, AskKinds)).required)
        return reply(await self._settings.status(account))

    async def begin_totp(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        return reply({"uri": await self._settings.begin_totp(account)}, status=201)

    async def confirm_totp(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        await self._settings.confirm_totp(account, _short((await body(request, AskCode)).code))
        return Response(status_code=204)

    async def remove_totp(self, request: Request) -> Response:
        await self._settings.remove_totp(await self._authenticator.account(request, scope="account"))
        return Response(status_code=204)

    async def set_phone(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        await self._settings.set_phone(account, _short((await body(request, AskNumber)).number))
        return Response(status_code=202)

    async def confirm_phone(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        await self._settings.confirm_phone(account, _short((await body(request, AskCode)).code))
        return Response(status_code=204)

    async def remove_phone(self, request: Request) -> Response:
        await self._settings.remove_phone(await self._authenticator.account(request, scope="account"))
        return Response(status_code=204)

    async def trust(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="account")
        asked = await body(request, AskTrust)
        return reply({"trusted": await self._settings.trust_app(account, Factor(asked.kind, _short(asked.value)))})


def _code(made: MadeCode) -> dict[str, object]:
    return {"code": made.code, "expires_at": made.expires_at}


def _short(text: str) -> str:
    if len(text) > MAX_VALUE_CHARACTERS:
        raise Malformed(f"That has more than {MAX_VALUE_CHARACTERS} characters.")
    return text
