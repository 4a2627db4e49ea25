from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from admittance.server.application import application
from admittance.server.database import Database
from admittance.server.relay.tickets import MAX_OPEN_TICKETS
from admittance.wire import base64url, message, relay
from admittance.wire.relay import RelayTicket
from tests.device_world import ORIGIN
from tests.unit.server.relay.relay_world import Enrolled, Login, Site, relay_site, until


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """On SQLite and on PostgreSQL."""
    async with relay_site(database, tmp_path) as opened:
        yield opened


@pytest.fixture
async def people(site: Site) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(application(list(site.services.people_routes)))
    async with AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


async def send(
    people: AsyncClient, site: Site, login: Login, method: str, path: str, body: object = None
) -> Response:
    proof = login.key.proof(
        method=method,
        uri=ORIGIN + path,
        now=site.world.clock(),
        nonce=site.node.app_proofs.nonce(),
        access_token=login.token,
    )
    headers = {"authorization": f"DPoP {login.token}", "dpop": proof}
    return await people.request(method, path, headers=headers, **({} if body is None else {"json": body}))


async def ask(people: AsyncClient, site: Site, login: Login, device_id: str) -> Response:
    return await send(people, site, login, "POST", relay.TICKET_PATH, {"device_id": device_id})


async def test_a_ticket_opens_a_stream(people: AsyncClient, site: Site, app: Login, lamp: Enrolled) -> None:
    answer = await ask(people, site, app, lamp.device_id)
    assert (answer.status_code, answer.json()["expires_in_s"]) == (201, 30)
    assert answer.json()["urls"] == list(site.world.foundation.config.app_relay_urls)
    await site.device(lamp)
    socket = await site.app_socket(lamp.device_id, [])
    await socket.send(message.encode(RelayTicket(base64url.decode(answer.json()["ticket"]))))
    await until(lambda: site.node.apps == 1)


@pytest.mark.parametrize("device_id", ["AD" + "A" * 20, "lamp", ""])
async def test_there_is_no_ticket_for_what_is_no_device(
    people: AsyncClient, site: Site, app: Login, device_id: str
) -> None:
    assert (await ask(people, site, app, device_id)).status_code in (400, 404)


async def test_another_account_learns_nothing(people: AsyncClient, site: Site, lamp: Enrolled) -> None:
    eve = await site.login(await site.world.account("eve", operator=True))
    answers = [await ask(people, site, eve, each) for each in (lamp.device_id, "AD" + "A" * 20)]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 2
    assert answers[0].status_code == 404


async def test_only_so_many_tickets_wait(people: AsyncClient, site: Site, app: Login, lamp: Enrolled) -> None:
    for _ in range(MAX_OPEN_TICKETS):
        await site.services.tickets.issue(app.session_id, lamp.device_id, None)
    assert (await ask(people, site, app, lamp.device_id)).status_code == 429
    site.world.clock.pass_s(30)
    assert (await ask(people, site, app, lamp.device_id)).status_code == 201


async def test_only_operators_see_what_a_node_holds(
    people: AsyncClient, site: Site, app: Login, lamp: Enrolled
) -> None:
    await site.device(lamp)
    assert (await send(people, site, app, "GET", "/api/relay")).status_code == 403
    olga = await site.login(await site.world.account("olga", operator=True))
    answer = await send(people, site, olga, "GET", "/api/relay")
    assert (answer.status_code, answer.json()["devices"]) == (200, 1)
    assert answer.json()["since_start"]["devices_accepted"] == 1
