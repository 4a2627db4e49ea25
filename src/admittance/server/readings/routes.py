"""Consent and readings, for the owner; the export of what owners agreed to, for operators."""

import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.http import body, reply
from admittance.server.readings.model import PAGE_ROWS, Place, Reading
from admittance.server.readings.service import ReadingsService
from admittance.server.readings.table import csv_table
from admittance.wire.readings import MAX_CONSENTED, ReadingName

CSV = "text/csv"
DEFAULT_ROWS = 100
_CURSOR = re.compile(r"(\d{1,9})\.(\d{1,16})\.(\d{1,9})", re.ASCII)


class AskConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`readings` are all names that are agreed to from now on; `erase` deletes what is stored of others."""

    readings: Annotated[list[ReadingName], msgspec.Meta(max_length=MAX_CONSENTED)]
    erase: bool = False


def routes(*, authenticator: Authenticator, readings: ReadingsService) -> list[Route]:
    async def consent(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        return reply(asdict(await readings.consent(account, request.path_params["device_id"])))

    async def set_consent(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        asked = await body(request, AskConsent)
        view = await readings.set_consent(
            account, request.path_params["device_id"], asked.readings, erase=asked.erase
        )
        return reply(asdict(view))

    async def of_device(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        device_id = request.path_params["device_id"]
        if CSV in request.headers.get("accept", ""):
            return _csv(csv_table(await readings.of_device(account, device_id)))
        before, limit = _paging(request)
        page = await readings.page(account, device_id, before, limit)
        return reply(
            {
                "readings": [_shown(reading) for reading in page.readings],
                "next": None if page.next is None else _cursor(page.next),
            }
        )

    async def of_everybody(request: Request) -> Response:
        account = await authenticator.account(request, scope="devices")
        return _csv(csv_table(await readings.of_everybody(account)))

    return [
        Route("/api/devices/{device_id}/consent", consent, methods=["GET"]),
        Route("/api/devices/{device_id}/consent", set_consent, methods=["PUT"]),
        Route("/api/devices/{device_id}/readings", of_device, methods=["GET"]),
        Route("/api/readings", of_everybody, methods=["GET"]),
    ]


def _csv(content: AsyncIterator[bytes]) -> Response:
    headers = {"cache-control": "no-store", "content-disposition": 'attachment; filename="readings.csv"'}
    return StreamingResponse(content, media_type=CSV, headers=headers)


def _shown(reading: Reading) -> dict[str, Any]:
    shown = asdict(reading)
    del shown["place"], shown["device_id"]
    return shown


def _paging(request: Request) -> tuple[Place | None, int]:
    before, limit = request.query_params.get("before"), request.query_params.get("limit", str(DEFAULT_ROWS))
    if not limit.isascii() or not limit.isdecimal() or len(limit) > 4 or not 1 <= int(limit) <= PAGE_ROWS:
        raise Malformed(f"Ask for 1 to {PAGE_ROWS} readings.")
    return None if before is None else _place(before), int(limit)


def _cursor(place: Place) -> str:
    return f"{place.epoch}.{place.sequence}.{place.position}"


def _place(cursor: str) -> Place:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise Malformed("Give `before` as the answer before told it.")
    epoch, sequence, position = (int(part) for part in found.groups())
    return Place(epoch, sequence, position)
