"""Enrolment on the first-contact listener, status on the device listener, and people's devices."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.clock import Clock
from admittance.server.enrolment.crl import RevocationList
from admittance.server.enrolment.devices import DeviceAuthenticator
from admittance.server.enrolment.fleet import Fleet, OwnedDevice
from admittance.server.enrolment.service import EnrolmentService
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
        await enrolments.report_reset(await _signed(request))
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
        account = await authenticator.account(request)
        everyones = request.query_params.get("all") == "1"
        owned = await fleet.list(account, everyones=everyones)
        return reply({"devices": [_shown(each) for each in owned]})

    async def show(request: Request) -> Response:
        account = await authenticator.account(request)
        return reply(_shown(await fleet.show(account, request.path_params["device_id"]), in_full=True))

    async def revoke(request: Request) -> Response:
        account = await authenticator.account(request)
        asked = await body(request, AskRevocation)
        return reply(_shown(await fleet.revoke(account, request.path_params["device_id"], asked.reason)))

    async def release(request: Request) -> Response:
        account = await authenticator.account(request)
        return reply(_shown(await fleet.release(account, request.path_params["device_id"])))

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


def _shown(owned: OwnedDevice, *, in_full: bool = False) -> dict[str, Any]:
    record, newest = owned.record, owned.certificate
    shown: dict[str, Any] = {
        "device_id": record.device_id,
        "model": record.model,
        "display_name": owned.display_name,
        "state": record.state,
        "assurance": record.assurance,
        "epoch": record.epoch,
        "activated_at": record.activated_at,
        "last_seen_at": record.last_seen_at,
        "certificate": None,
    }
    if newest is not None and owned.is_certificate_live:
        shown["certificate"] = {"serial": newest.serial, "not_after_at": newest.not_after}
    if in_full and newest is not None:
        shown["enrolment"] = {"issued_at": newest.issued_at, **msgspec.json.decode(newest.decision)}
    return shown


async def _signed(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/cbor":
        raise Malformed("Send the body as application/cbor.")
    return await raw_body(request, MAX_REQUEST_BYTES)


def _source(request: Request) -> str:
    return request.client.host if request.client else "unknown"
