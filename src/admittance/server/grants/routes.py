"""Grants over HTTP: what owners and guests ask."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.service import Accounts
from admittance.server.clock import Clock
from admittance.server.grants.actions import MAX_ACTIONS, actions_of, permissions_of
from admittance.server.grants.history import GrantHistory
from admittance.server.grants.model import Allowed, Grant, Hours, Terms, parse_grant_id
from admittance.server.grants.service import Change, Grants
from admittance.server.http import body, reply
from admittance.wire.device_id import check_device_id

_TIME = re.compile(r"(\d\d):(\d\d)", re.ASCII)
_Text = Annotated[str, msgspec.Meta(max_length=300)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class AskHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`weekdays` are ISO's, 1 is Monday; times are such as ``08:00``, the end also ``24:00``."""

    weekdays: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=7)]], msgspec.Meta(min_length=1, max_length=7)]
    from_: _Text
    to: _Text
    zone: _Text


class AskAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: _Text
    actions: Annotated[list[_Text], msgspec.Meta(max_length=MAX_ACTIONS)]


class AskGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To the account of `email`; without it, to whoever accepts the invitation."""

    name: _Text
    access: Annotated[list[AskAccess], msgspec.Meta(max_length=64)]
    begins_at: _Time
    ends_at: _Time
    email: _Text | None = None
    hours: AskHours | None = None
    uses: int = 0
    integrity: bool = False


class AskChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not there stays as it is."""

    name: _Text | UnsetType = UNSET
    access: Annotated[list[AskAccess], msgspec.Meta(max_length=64)] | UnsetType = UNSET
    begins_at: _Time | UnsetType = UNSET
    ends_at: _Time | UnsetType = UNSET
    hours: AskHours | UnsetType | None = UNSET
    uses: int | UnsetType = UNSET
    integrity: bool | UnsetType = UNSET


class AskAcceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: _Text


def routes(
    *,
    authenticator: Authenticator,
    accounts: Accounts,
    grants: Grants,
    history: GrantHistory,
    clock: Clock,
    origin: str,
) -> list[Route]:
    """`origin` is where links of invitations lead."""
    handlers = _Handlers(authenticator, accounts, grants, history, clock, origin)
    one = "/api/grants/{grant_id}"
    return [
        Route("/api/grants", handlers.give, methods=["POST"]),
        Route("/api/grants", handlers.list, methods=["GET"]),
        Route("/api/grants/accept", handlers.accept, methods=["POST"]),
        Route(one, handlers.show, methods=["GET"]),
        Route(one, handlers.change, methods=["PATCH"]),
        Route(one, handlers.revoke, methods=["DELETE"]),
        Route(f"{one}/history", handlers.history, methods=["GET"]),
    ]


class _Handlers:
    def __init__(
        self,
        authenticator: Authenticator,
        accounts: Accounts,
        grants: Grants,
        history: GrantHistory,
        clock: Clock,
        origin: str,
    ) -> None:
        self._authenticator = authenticator
        self._accounts = accounts
        self._grants = grants
        self._history = history
        self._clock = clock
        self._origin = origin

    async def give(self, request: Request) -> Response:
        owner = await self._authenticator.account(request, scope="share")
        asked = await body(request, AskGrant)
        terms = Terms(
            name=asked.name,
            begins_at=asked.begins_at,
            ends_at=asked.ends_at,
            hours=_hours(asked.hours),
            uses=asked.uses,
            integrity=asked.integrity,
        )
        given = await self._grants.give(owner, terms, _allowed(asked.access), email=asked.email)
        shown = await self._shown(given.grant, owner.account_id)
        if given.invitation is not None:
            shown["invitation"] = {
                "link": given.invitation.link(self._origin),
                "expires_at": given.invitation.expires_at,
            }
        return reply(shown, status=201)

    async def list(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="devices")
        given, received = await self._grants.given(account), await self._grants.received(account)
        return reply(
            {
                "given": [await self._shown(grant, account.account_id) for grant in given],
                "received": [await self._shown(grant, account.account_id) for grant in received],
            }
        )

    async def show(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="devices")
        grant = await self._grants.show(account, parse_grant_id(request.path_params["grant_id"]))
        return reply(await self._shown(grant, account.account_id))

    async def change(self, request: Request) -> Response:
        owner = await self._authenticator.account(request, scope="share")
        asked = await body(request, AskChange)
        grant_id = parse_grant_id(request.path_params["grant_id"])
        grant = await self._grants.change(owner, grant_id, _change(asked))
        return reply(await self._shown(grant, owner.account_id))

    async def revoke(self, request: Request) -> Response:
        owner = await self._authenticator.account(request, scope="share")
        grant = await self._grants.revoke(owner, parse_grant_id(request.path_params["grant_id"]))
        return reply(await self._shown(grant, owner.account_id))

    async def accept(self, request: Request) -> Response:
        guest = await self._authenticator.account(request, scope="devices")
        asked = await body(request, AskAcceptance)
        grant = await self._grants.accept(guest, asked.secret)
        return reply(await self._shown(grant, guest.account_id), status=201)

    async def history(self, request: Request) -> Response:
        owner = await self._authenticator.account(request, scope="share")
        events = await self._history.of(owner, parse_grant_id(request.path_params["grant_id"]))
        return reply({"events": events})

    async def _shown(self, grant: Grant, asker_id: str) -> dict[str, Any]:
        """As that account may see it. An owner does not see whether the address that it gave has an account."""
        now = self._clock()
        interval = grant.interval(now)
        terms = grant.terms
        shown: dict[str, Any] = {
            "grant": grant.shown_id,
            "name": terms.name,
            "access": [
                {
                    "device_id": each.device_id,
                    "actions": actions_of(each.permissions),
                    "used": each.used,
                    "ended_at": each.ended_at,
                }
                for each in grant.allowed
            ],
            "begins_at": terms.begins_at,
            "ends_at": terms.ends_at,
            "hours": _shown_hours(terms.hours),
            "uses": terms.uses,
            "integrity": terms.integrity,
            "created_at": grant.created_at,
            "ended_at": grant.ended_at,
            "open_until": None if interval is None else interval.ends_at,
        }
        if asker_id == grant.owner_id:
            shown["email"] = grant.email or await self._invited(grant)
            shown["accepted"] = None if grant.email else grant.guest_id is not None
        else:
            shown["owner"] = (await self._accounts.get(grant.owner_id)).email
        return shown

    async def _invited(self, grant: Grant) -> str | None:
        """Who took the invitation: whoever holds its link tells the owner that by accepting."""
        return None if grant.guest_id is None else (await self._accounts.get(grant.guest_id)).email


def _allowed(asked: list[AskAccess]) -> tuple[Allowed, ...]:
    return tuple(Allowed(check_device_id(each.device_id), permissions_of(each.actions)) for each in asked)


def _change(asked: AskChange) -> Change:
    changed: dict[str, Any] = {
        name: value
        for name in ("name", "begins_at", "ends_at", "uses", "integrity")
        if (value := getattr(asked, name)) is not UNSET
    }
    if not isinstance(asked.hours, UnsetType):
        changed["hours"] = _hours(asked.hours)
    return Change(changed, None if isinstance(asked.access, UnsetType) else _allowed(asked.access))


def _hours(asked: AskHours | None) -> Hours | None:
    if asked is None:
        return None
    weekdays = tuple(sorted(set(asked.weekdays)))
    return Hours(weekdays, _minute(asked.from_), _minute(asked.to), asked.zone)


def _minute(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None or int(found[2]) > 59:
        raise Malformed("Hours are written as 08:00.")
    return int(found[1]) * 60 + int(found[2])


def _shown_hours(hours: Hours | None) -> dict[str, Any] | None:
    if hours is None:
        return None
    return {
        "weekdays": hours.weekdays,
        "from": _clock_time(hours.from_minute),
        "to": _clock_time(hours.to_minute),
        "zone": hours.zone,
    }


def _clock_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
