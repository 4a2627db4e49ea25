"""Invites: single use, idempotent, races."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from admittance.errors import AlreadyUsed, Conflict, Expired, Malformed, NotAllowed, NotFound
from admittance.server.accounts.invites import INVITE_TTL_S, REPEAT_S
from admittance.server.accounts.model import Invite
from admittance.server.accounts.service import AccountServices
from admittance.server.accounts.store import accounts, invites
from admittance.server.audit.store import audit
from admittance.server.database import Database
from tests.unit.server.accounts.conftest import ORIGIN, PASSWORD, FakeClock

EMAIL = "owner@example.org"


async def invite(services: AccountServices, email: str = EMAIL, **options: Any) -> Invite:
    return await services.invites.create(
        **{"email": email, "operator": False, "quota": None, "actor": "operator", **options}
    )


async def accept(services: AccountServices, secret: str, **changes: str) -> str:
    given = {"email": EMAIL, "password": PASSWORD, "display_name": "Owner", "source": "192.0.2.1", **changes}
    return await services.invites.accept(secret=secret, **given)


async def test_accepting_makes_the_invited_account(services: AccountServices) -> None:
    made = await invite(services, "  Owner@Example.ORG ", operator=True, quota=7)
    account = await services.accounts.get(await accept(services, made.secret, email="OWNER@example.org"))
    assert (account.email, account.operator, account.quota, account.display_name) == (EMAIL, True, 7, "Owner")
    assert made.link(ORIGIN) == f"{ORIGIN}/invite#{made.secret}"


async def test_without_a_quota_the_default_counts(services: AccountServices, make_account: Any) -> None:
    assert (await services.accounts.get(await make_account())).quota == 3


async def test_the_store_holds_neither_secret_nor_password(services: AccountServices, database: Database) -> None:
    made = await invite(services)
    await accept(services, made.secret)
    async with database.read() as connection:
        for table in (accounts, invites, audit):
            stored = repr((await connection.execute(select(table))).all())
            assert made.secret not in stored
            assert PASSWORD not in stored
        assert EMAIL not in repr((await connection.execute(select(audit))).all())


async def test_the_same_acceptance_again_gives_the_same_account(services: AccountServices) -> None:
    made = await invite(services)
    assert await accept(services, made.secret) == await accept(services, made.secret)


async def test_fifty_acceptances_at_once_make_one_account(services: AccountServices, database: Database) -> None:
    made = await invite(services)
    account_ids = await asyncio.gather(*(accept(services, made.secret) for _ in range(50)))
    assert len(set(account_ids)) == 1
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(accounts))).scalar_one() == 1
        created = select(func.count()).select_from(audit).where(audit.c.event == "account.created")
        assert (await connection.execute(created)).scalar_one() == 1


async def test_of_acceptances_with_different_passwords_at_once_one_wins(services: AccountServices) -> None:
    made = await invite(services)
    results = await asyncio.gather(
        *(accept(services, made.secret, password=f"correct horse {number} battery") for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, AlreadyUsed) for result in results) == 4


async def test_a_used_invite_does_not_tell_or_change_the_password(services: AccountServices) -> None:
    made = await invite(services)
    await accept(services, made.secret)
    with pytest.raises(AlreadyUsed):
        await accept(services, made.secret, password="another long password")


async def test_a_used_invite_stops_answering_after_an_hour(services: AccountServices, clock: FakeClock) -> None:
    made = await invite(services)
    await accept(services, made.secret)
    clock.now += REPEAT_S + 1
    with pytest.raises(AlreadyUsed):
        await accept(services, made.secret)


async def test_an_invite_expires(services: AccountServices, clock: FakeClock) -> None:
    made = await invite(services)
    clock.now += INVITE_TTL_S
    with pytest.raises(Expired):
        await accept(services, made.secret)


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "ä" * 43])
async def test_an_unknown_secret_is_not_found(services: AccountServices, secret: str) -> None:
    with pytest.raises(NotFound):
        await accept(services, secret)


async def test_an_invite_is_for_its_address(services: AccountServices) -> None:
    made = await invite(services)
    with pytest.raises(NotAllowed):
        await accept(services, made.secret, email="other@example.org")


async def test_a_second_invite_for_the_same_address_makes_no_second_account(services: AccountServices) -> None:
    first, second = await invite(services), await invite(services)
    await accept(services, first.secret)
    with pytest.raises(Conflict):
        await accept(services, second.secret)
    with pytest.raises(Conflict):
        await invite(services)


@pytest.mark.parametrize(
    "email", ["", "owner", "a@b@c", "a b@c", "a@b\nc", "<a@b>", "a" * 65 + "@b", "a@" + "b" * 250]
)
async def test_what_is_no_address_is_malformed(services: AccountServices, email: str) -> None:
    with pytest.raises(Malformed):
        await invite(services, email)


@pytest.mark.parametrize("quota", [-1, 1_000_001])
async def test_an_impossible_quota_is_malformed(services: AccountServices, quota: int) -> None:
    with pytest.raises(Malformed):
        await invite(services, quota=quota)


@pytest.mark.parametrize("changes", [{"password": "short"}, {"display_name": " "}, {"display_name": "a\x00b"}])
async def test_a_refused_acceptance_leaves_the_invite_open(
    services: AccountServices, changes: dict[str, str]
) -> None:
    made = await invite(services)
    with pytest.raises(Malformed):
        await accept(services, made.secret, **changes)
    await accept(services, made.secret)


async def test_guessing_passwords_with_a_used_invite_is_throttled(services: AccountServices) -> None:
    made = await invite(services)
    await accept(services, made.secret)
    refused = []
    for number in range(8):
        try:
            await accept(services, made.secret, password=f"another long password {number}")
        except Exception as error:
            refused.append(type(error).__name__)
    assert refused == ["AlreadyUsed"] * 5 + ["Throttled"] * 3
