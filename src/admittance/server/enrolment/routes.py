"""Enrolment on the first-contact listener, status on the device listener, and people's devices."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.clock import Clock
from admittance.server.enrolment.crl import RevocationList
from admittance.server.enrolment.devices import DeviceAuthenticator
from admittance.server.enrolment.fleet import Fleet
from admittance.server.enrolment.service import EnrolmentService
from admittance.server.enrolment.shown import shown_device
from admittance.server.http import body, cbor_body, cbor_reply, raw_body, reply
from admittance.wire.enrolment import DeviceStatus, Enrolled, Nonce, NonceRequest

MAX_REQUEST_BYTES = 16 * 1024


class AskRevocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


def first_contact_routes(*, enrolments: EnrolmentService, revocations: RevocationList) -> list[Route]:
    async def nonce(request: Request) -> Response:
        asked = await cbor_body(request, NonceRequest)
        made, server_time = enrolments.nonce(asked.device_id)
        return cbor_reply(Nonce(made, server_time))

    async def enrol(request: Request) -> Response:
        issued = await enrolments.enrol(await _signed(request), _source(request))
        answer = Enrolled([issued.certificate, issued.issuer], issued.server_time, issued.renew_after_s)
        return cbor_reply(answer, status=201 if issued.is_new else 200)

    async def reset(request: Request) -> Response:
        await enrolments.report_reset(await _signed(request), _source(request))
        return Response(status_code=204)

    async def reachable(_request: Request) -> Response:
        return Response(status_code=204)

    return [
        Route("/enrolment/nonce", nonce, methods=["POST"]),
        Route("/enrolment/requests", enrol, methods=["POST"]),
        Route("/enrolment/resets", reset, methods=["POST"]),
        Route("/enrolment/reachable", reachable, methods=["GET"]),
        crl_route(revocations),
    ]


def device_routes(*, devices: DeviceAuthenticator, clock: Clock) -> list[Route]:
    async def status(request: Request) -> Response:
        device = await devices.device(request)
        return cbor_reply(DeviceStatus(device.device_id, device.epoch, int(clock()), device.renew_after_s))

    return [Route("/device/status", status, methods=["GET"])]


def people_routes(*, authenticator: Authenticator, fleet: Fleet, revocations: RevocationList) -> list[Route]:
    async def listing(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        everyones = request.query_params.get("all") == "1"
        owned = await fleet.list(account, everyones=everyones)
        shown = [shown_device(each, to_operator=account.operator) for each in owned]
        return reply({"devices": shown})

    async def show(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        owned = await fleet.show(account, request.path_params["device_id"])
        return reply(shown_device(owned, in_full=True, to_operator=account.operator))

    async def revoke(request: Request) -> Response:
        account = await authenticator.account(request, scope="activate")
        asked = await body(request, AskRevocation)
        return reply(shown_device(await fleet.revoke(account, request.path_params["device_id"], asked.reason)))

    async def release(request: Request) -> Response:
        account = await authenticator.account(request, scope="activate")
        return reply(shown_device(await fleet.release(account, request.path_params["device_id"])))

    return [
        Route("/api/devices", listing, methods=["GET"]),
        Route("/api/devices/{device_id}", show, methods=["GET"]),
        Route("/api/devices/{device_id}/revoke", revoke, methods=["POST"]),
        Route("/api/devices/{device_id}/release", release, methods=["POST"]),
        crl_route(revocations),
    ]


def crl_route(revocations: RevocationList) -> Route:
    async def crl(_request: Request) -> Response:
        return Response(await revocations.current(), media_type="application/pkix-crl")

    return Route("/crl", crl, methods=["GET"])


async def _signed(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/cbor":
        raise Malformed("Send the body as application/cbor.")
    return await raw_body(request, MAX_REQUEST_BYTES)


def _source(request: Request) -> str:
    return request.client.host if request.client else "unknown"
