"""Giving, changing and ending grants."""

import asyncio
from dataclasses import replace

import pytest

from admittance.errors import (
    AlreadyUsed,
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Throttled,
)
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.grants import service
from admittance.server.grants.actions import permissions_of
from admittance.server.grants.model import Allowed, Hours
from admittance.server.grants.service import Change, Given
from tests.logins import authenticated
from tests.unit.server.grants.grant_world import HOUR_S, Household

PASSWORD = "correct horse battery"


async def invite(home: Household) -> Given:
    allowed = [Allowed(home.device_id, permissions_of(["PUT /lock"]))]
    return await home.services.grants.give(home.owner, home.terms(), allowed, email=None)


async def join(home: Household, secret: str, email: str, source: str = "192.0.2.1") -> AuthenticatedAccount:
    account_id = await home.world.accounts.invites.accept(
        secret=secret, email=email, password=PASSWORD, display_name="New", source=source
    )
    return replace(authenticated(account_id, jkt="jkt"), email=email)


async def test_the_owner_and_the_guest_see_a_grant_and_nobody_else(home: Household) -> None:
    grant = await home.give()
    stranger = await home.world.account("sue")
    grants = home.services.grants
    assert await grants.given(home.owner) == await grants.received(home.guest) == [grant]
    assert await grants.show(home.guest, grant.grant_id) == grant
    assert (await grants.given(stranger), await grants.received(stranger)) == ([], [])
    for who in (stranger, await home.world.account("op", operator=True)):
        with pytest.raises(NotFound):
            await grants.show(who, grant.grant_id)
    for who in (stranger, home.guest):
        with pytest.raises(NotFound):
            await grants.revoke(who, grant.grant_id)
        with pytest.raises(NotFound):
            await grants.change(who, grant.grant_id, Change({"uses": 0}))


async def test_only_the_owner_of_an_enrolled_device_lets_anybody_in(home: Household) -> None:
    allowed = [Allowed(home.device_id, permissions_of(["PUT /lock"]))]
    for who in (home.guest, await home.world.account("op", operator=True)):
        with pytest.raises(NotFound):
            await home.services.grants.give(who, home.terms(), allowed, email="x@example.org")
    await home.world.services.lifecycle.report(home.owner, home.device_id, "stolen")
    with pytest.raises(Conflict):
        await home.give()


async def test_a_grant_that_makes_no_sense_is_refused(home: Household) -> None:
    for terms in (
        {"name": ""},
        {"name": "two\nlines"},
        {"uses": -1},
        {"ends_at": home.now},
        {"begins_at": home.now + 10, "ends_at": home.now + 10},
        {"ends_at": home.now + 11 * 366 * 86_400},
        {"hours": Hours((1,), 480, 1020, "Europe/Nowhere")},
        {"hours": Hours((1,), 480, 1020, "localtime")},
        {"hours": Hours((), 480, 1020, "Europe/Berlin")},
        {"hours": Hours((8,), 480, 1020, "Europe/Berlin")},
    ):
        with pytest.raises(Malformed):
            await home.give(**terms)
    for actions in (("PUT",), ("OPEN /lock",), ("PUT lock",), ("PUT /server/access",), ("GET /credentials",)):
        with pytest.raises(Malformed):
            await home.give(*actions)
    for reserved in ("PUT /consent", "POST /provisioning/open", "GET /server/*", "PUT /" + "a" * 128, "PUT /a b"):
        with pytest.raises(Malformed):
            await home.give(reserved)
    with pytest.raises(Conflict):
        await home.give(to=home.owner)


async def test_an_address_without_account_looks_like_any_other_and_waits(home: Household) -> None:
    nobody = authenticated("nobody", jkt="none")
    waiting, known = await home.give(to=nobody), await home.give()
    given = await home.services.grants.given(home.owner)
    assert {each.email for each in given} == {"nobody@example.org", "gil@example.org"}
    assert (waiting.guest_id, known.guest_id) == (None, "gil")
    recipients = sorted(mail[0] for mail in await home.world.mails())
    assert recipients[-2:] == ["gil@example.org", "nobody@example.org"]
    operators = await home.world.accounts.invites.create(
        email="nobody@example.org", operator=False, quota=None, actor="operator"
    )
    made = await join(home, operators.secret, "nobody@example.org")
    assert [each.grant_id for each in await home.services.grants.received(made)] == [waiting.grant_id]


async def test_an_invitation_makes_a_guest_that_owns_nothing(home: Household) -> None:
    given = await invite(home)
    assert given.invitation is not None
    assert given.grant.guest_id is None
    made = await join(home, given.invitation.secret, "new@example.org")
    assert [each.grant_id for each in await home.services.grants.received(made)] == [given.grant.grant_id]
    account = await home.world.accounts.accounts.get(made.account_id)
    assert (account.quota, account.operator) == (0, False)
    with pytest.raises(AlreadyUsed):
        await join(home, given.invitation.secret, "other@example.org")
    with pytest.raises(AlreadyUsed):
        await home.services.grants.accept(home.guest, given.invitation.secret)


async def test_an_account_that_is_there_takes_an_invitation(home: Household) -> None:
    given = await invite(home)
    assert given.invitation is not None
    with pytest.raises(NotFound):
        await home.services.grants.accept(home.owner, given.invitation.secret)
    taken = await home.services.grants.accept(home.guest, given.invitation.secret)
    assert (taken.grant_id, taken.guest_id) == (given.grant.grant_id, "gil")
    with pytest.raises(NotFound):
        await home.services.grants.accept(home.guest, "A" * 43)


async def test_an_invitation_does_not_take_over_an_address_that_has_an_account(home: Household) -> None:
    given = await invite(home)
    assert given.invitation is not None
    refusals = []
    for number in range(60):
        with pytest.raises((NotAllowed, Throttled)) as refusal:
            await join(home, given.invitation.secret, home.guest.email, source=f"192.0.2.{number}")
        refusals.append(refusal.type)
    assert refusals[0] is NotAllowed
    assert refusals[-1] is Throttled


async def test_a_revoked_grant_takes_its_invitation_along(home: Household) -> None:
    given = await invite(home)
    assert given.invitation is not None
    await home.services.grants.revoke(home.owner, given.grant.grant_id)
    with pytest.raises(NotFound):
        await join(home, given.invitation.secret, "new@example.org")


async def test_an_account_that_another_owner_invited_gets_no_grant_by_its_address(home: Household) -> None:
    """Whoever invites vouches for the address to itself alone: nobody poses as somebody else by an invitation."""
    mallory = await home.world.account("mallory")
    given = await invite(home)
    assert given.invitation is not None
    made = await join(home, given.invitation.secret, "boss@example.org")
    assert (await home.give(to=made)).guest_id == made.account_id
    device = home.world.device()
    await home.world.take(device)
    await home.world.onboard(mallory, device)
    allowed = [Allowed(device.device_id, permissions_of(["PUT /lock"]))]
    grant = (await home.services.grants.give(mallory, home.terms(), allowed, email="boss@example.org")).grant
    assert grant.guest_id is None


async def test_what_an_owner_may_give_is_bounded(home: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_OPEN_INVITATIONS", 1)
    await invite(home)
    with pytest.raises(QuotaExceeded):
        await invite(home)
    monkeypatch.setattr(service, "MAX_OF_DEVICE", 2)
    await home.give()
    with pytest.raises(QuotaExceeded):
        await home.give()
    monkeypatch.setattr(service, "MAX_OF_OWNER", 2)
    monkeypatch.setattr(service, "MAX_OF_DEVICE", 9)
    with pytest.raises(QuotaExceeded):
        await home.give()
    monkeypatch.setattr(service, "MAX_OF_OWNER", 9)
    monkeypatch.setattr(service, "MAX_NEW_A_DAY", 2)
    with pytest.raises(Throttled):
        await home.give()
    home.world.clock.pass_s(86_400)
    await home.give()


async def test_of_many_grants_at_once_no_more_are_given_than_may_be(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_OF_OWNER", 3)
    outcomes = await asyncio.gather(*(home.give() for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 3


async def test_a_change_ends_the_keys_that_were_given_under_the_old_terms(home: Household) -> None:
    grant = await home.give()
    await home.token()
    renamed = await home.services.grants.change(home.owner, grant.grant_id, Change({"name": "Klempner"}))
    assert renamed.terms.name == "Klempner"
    await home.services.pushes.attached(home.device_id, home.device.epoch)
    assert len(home.lock.keys) == 1
    narrower = (Allowed(home.device_id, permissions_of(["GET /lock"])),)
    await home.services.grants.change(home.owner, grant.grant_id, Change({}, narrower))
    await home.services.pushes.attached(home.device_id, home.device.epoch)
    assert home.lock.keys == {}
    with pytest.raises(NotAllowed):
        await home.token("PUT /lock")
    assert (await home.token()).actions == ("GET /lock",)
    other = (Allowed("AD" + "A" * 20, permissions_of(["GET /lock"])),)
    with pytest.raises(Malformed):
        await home.services.grants.change(home.owner, grant.grant_id, Change({}, other))


async def test_release_ends_what_was_granted_and_the_next_owner_begins_with_nothing(home: Household) -> None:
    grant = await home.give()
    await home.token()
    await home.world.services.fleet.release(home.owner, home.device_id)
    with pytest.raises(NotFound):
        await home.token()
    (ended,) = await home.services.grants.given(home.owner)
    assert (ended.grant_id, ended.ended_at) == (grant.grant_id, home.now)
    assert await home.services.grants.received(home.guest) == []
    next_owner = await home.world.account("next")
    await home.world.onboard(next_owner, home.device)
    with pytest.raises(NotFound):
        await home.token()
    home.owner = next_owner
    home.lock.epoch, home.lock.keys = home.device.epoch, {}
    await home.connect(home.nodes[0])
    await home.give()
    await home.token()
    assert len(home.lock.keys) == 1


async def test_hours_of_the_week_bound_every_token(home: Household) -> None:
    """2027-01-15 08:00 UTC is a Friday, 09:00 in Berlin."""
    await home.give(hours=Hours((1, 2, 3, 4, 5), 480, 570, "Europe/Berlin"), ends_at=home.now + 30 * 86_400)
    token = await home.token()
    assert token.expires_at == home.now + HOUR_S // 2


async def test_the_account_of_a_waiting_address_is_made_by_nobody_else(home: Household) -> None:
    """Mallory invites an address that Ann's grant waits for: it gets what Mallory gives, and nothing of Ann's."""
    nobody = authenticated("nobody", jkt="none")
    await home.give(to=nobody)
    mallory = await home.world.account("mallory")
    device = home.world.device()
    await home.world.take(device)
    await home.world.onboard(mallory, device)
    allowed = [Allowed(device.device_id, permissions_of(["PUT /lock"]))]
    given = await home.services.grants.give(mallory, home.terms(), allowed, email=None)
    assert given.invitation is not None
    made = await join(home, given.invitation.secret, "nobody@example.org")
    assert [each.owner_id for each in await home.services.grants.received(made)] == ["mallory"]
