import pytest

from admittance.errors import Expired, IntegrityRequired, NotAllowed, NotFound, OutsideWindow, Unavailable, UsesSpent
from admittance.protocol.access.possession import master_secret
from admittance.server.grants import pushes
from admittance.wire import base64url
from tests.unit.server.grants.grant_world import HOUR_S, Household


async def test_a_token_is_given_once_the_device_has_its_key(home: Household) -> None:
    grant = await home.give()
    token = await home.token("PUT /lock")
    (key,) = home.lock.keys.values()
    assert base64url.encode(key.token) == token.access_token
    assert key.master_secret == master_secret(
        token.server_share, client_share=b"c" * 32, device_id=home.device_id, client="app", grant=grant.grant_id
    )
    assert (key.grant, key.name, key.uses) == (grant.grant_id, "Gast", 0)
    assert [(each.path, each.methods) for each in key.scope] == [("/lock", 4)]
    assert (key.not_before, key.expires_at, token.expires_at) == (home.now - 60, home.now + HOUR_S, home.now + HOUR_S)
    assert (token.actions, token.grant_id) == (("PUT /lock",), grant.shown_id)


async def test_who_was_granted_nothing_is_told_what_an_unknown_device_is_told(home: Household) -> None:
    await home.give()
    for changes in ({"account_id": "ann"}, {"device_id": "AD" + "A" * 20}, {"device_id": "nothing"}):
        with pytest.raises(NotFound, match="granted nothing on such a device"):
            await home.token(**changes)


async def test_what_the_grant_does_not_allow_gets_no_token(home: Household) -> None:
    await home.give("GET /lock")
    with pytest.raises(NotAllowed):
        await home.token("PUT /lock")
    await home.give(integrity=True)
    with pytest.raises(IntegrityRequired):
        await home.token("PUT /lock")
    with pytest.raises(IntegrityRequired):
        await home.token("PUT /lock", attested_until=home.now)
    token = await home.token("PUT /lock", attested_until=home.now + 90)
    assert token.expires_at == home.now + 90
    assert len(home.lock.keys) == 1


async def test_outside_its_window_a_grant_gives_no_token(home: Household) -> None:
    await home.give(begins_at=home.now + 10)
    with pytest.raises(OutsideWindow):
        await home.token()
    home.world.clock.pass_s(10)
    await home.token()
    home.world.clock.pass_s(5 * HOUR_S)
    with pytest.raises(Expired):
        await home.token()


async def test_a_use_is_counted_over_all_keys_of_a_grant(home: Household) -> None:
    grant = await home.give(uses=1)
    first = await home.token()
    assert home.lock.use(base64url.decode(first.access_token))
    home.world.clock.pass_s(HOUR_S + 1)
    with pytest.raises(UsesSpent):
        await home.token()
    shown = await home.services.grants.show(home.owner, grant.grant_id)
    assert shown.allowed[0].used == 1


async def test_a_device_that_does_not_acknowledge_gets_no_token_out(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.give()
    home.lock.silent = True
    monkeypatch.setattr(pushes, "ACKNOWLEDGE_WITHIN_S", 0.3)
    with pytest.raises(Unavailable):
        await home.token()
    home.lock.silent = False
    assert len(home.lock.keys) == 1
    await home.services.pushes.attached(home.device_id, home.device.epoch)
    assert home.lock.keys == {}


async def test_a_key_that_ends_while_the_device_hears_of_it_is_given_to_nobody(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant, tell = await home.give(), home.services.pushes.tell

    async def tell_and_revoke(device_id: str, sequence: int) -> None:
        await tell(device_id, sequence)
        await home.services.grants.revoke(home.owner, grant.grant_id)

    monkeypatch.setattr(home.services.pushes, "tell", tell_and_revoke)
    with pytest.raises(NotFound):
        await home.token()


async def test_an_offline_device_is_unavailable(home: Household) -> None:
    await home.give()
    home.disconnect()
    with pytest.raises(Unavailable):
        await home.token()


async def test_asking_again_ends_the_key_before(home: Household) -> None:
    await home.give()
    first = await home.token()
    second = await home.token()
    assert list(home.lock.keys) == [base64url.decode(second.access_token)] != [base64url.decode(first.access_token)]
    await home.token(session_id="session-2")
    assert len(home.lock.keys) == 2
