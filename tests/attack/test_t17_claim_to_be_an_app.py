"""T17. Means: accounts and apps of one's own, the owner's leaked login, tickets and proofs of others, the server's
own keys, the place of the relay. Goal: be taken for an app of a device's owner, or for the device by such an app.
"""

import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import update

from admittance.client.channel.credential_api import CredentialApi
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.session_store import SessionStore
from admittance.errors import AuthenticationFailed
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import RequestReceived
from admittance.protocol.channel.handshake import EDHOC_PATH
from admittance.protocol.relay.device_mux import DeviceMux, StreamMessage
from admittance.server.relay.tickets import relay_tickets
from admittance.transport.websocket import WebSocket
from admittance.wire import message
from admittance.wire.channel import Entry
from admittance.wire.coap import codes, options, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import APP_PATH, CloseCode, RelayTicket
from tests.attack.apps import App
from tests.attack.claims import Scene, claimed_scene
from tests.attack.relay_site import refused, ticket_of, until
from tests.attack.site import ON_SQLITE, Login, Site, invented, new_key
from tests.attack.world import World
from tests.relay_ends import AppStream, EchoDevice

SECRET = b"the state of the lock"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(site: Site) -> AsyncIterator[Scene]:
    async with claimed_scene(site) as opened:
        yield opened


@ON_SQLITE
async def test_another_account_reaches_no_device_and_learns_of_none(scene: Scene) -> None:
    """Somebody's device, one that is not connected, and one that does not exist look alike."""
    talking, own = scene.talking, scene.device.device_id
    known, none = scene.victim.device_id, invented().device_id
    told = [await refused(talking.app(scene.attacker, each, scene.app_port)) for each in (known, none, own)]
    assert told == [CloseCode.OFFLINE] * 3
    stolen = Login(scene.site.origin, scene.site.attacker, "", "", scene.owner.token, scene.attacker.private_key)
    stolen.nonce = scene.owner.nonce
    assert await refused(talking.app(stolen, known, scene.app_port)) == CloseCode.NOT_AUTHENTICATED
    await scene.assert_undisturbed()


@ON_SQLITE
async def test_a_proof_of_the_owners_app_that_was_seen_opens_nothing(scene: Scene) -> None:
    path = f"{APP_PATH}{scene.victim.device_id}"
    seen = scene.owner.headers("GET", path)
    first = AppStream(await scene.talking.upgraded(scene.app_port, path, seen))
    await first.exchange(b"the owner")
    again = await scene.talking.upgraded(scene.app_port, path, seen)
    assert await refused(again.receive()) == CloseCode.NOT_AUTHENTICATED
    for elsewhere in (f"{APP_PATH}{scene.device.device_id}", path.lower()):
        for headers in (scene.owner.headers("GET", path), scene.owner.headers("POST", elsewhere)):
            assert await refused(scene.talking.upgraded(scene.app_port, elsewhere, headers)) in (401, 404)
    await first.exchange(b"still the owner")


@ON_SQLITE
async def test_a_ticket_is_for_one_device_of_one_account_once_and_for_a_moment(scene: Scene) -> None:
    talking, victim, own = scene.talking, scene.victim.device_id, scene.device.device_id
    used, expired = [await ticket_of(scene.owner, victim) for _ in range(2)]
    await talking.app_with(used, victim, scene.app_port)
    soon = update(relay_tickets).values(expires_at=relay_tickets.c.expires_at - 30)
    async with scene.site.database() as database, database.transaction() as connection:
        await connection.execute(soon)
    assert await refused(talking.app_with(expired, victim, scene.app_port)) == CloseCode.NOT_AUTHENTICATED
    of_attacker = await ticket_of(scene.attacker, own)
    elsewhere = await ticket_of(scene.owner, victim)
    told = {
        await refused(talking.app_with(ticket, device_id, scene.app_port))
        for ticket, device_id in (
            (used, victim),
            (of_attacker, victim),
            (elsewhere, own),
            (elsewhere, victim),
            (secrets.token_bytes(32), victim),
            (bytes(32), invented().device_id),
        )
    }
    assert told == {CloseCode.NOT_AUTHENTICATED}
    await talking.app_with(await ticket_of(scene.owner, victim), victim, scene.app_port)


@ON_SQLITE
async def test_a_page_of_another_origin_opens_nothing(scene: Scene) -> None:
    """A browser sends whatever ticket a page has, and says which page that is."""
    path, origin = f"{APP_PATH}{scene.victim.device_id}", scene.site.origin
    near = (origin.replace("https", "http"), f"{origin}.evil.example", f"{origin}/", origin.partition(":")[2])
    for foreign in ("https://evil.example", "null", *near):
        assert await refused(scene.talking.upgraded(scene.app_port, path, {"origin": foreign})) == 403
    socket = await scene.talking.upgraded(scene.app_port, path, {"origin": origin})
    await socket.send(message.encode(RelayTicket(await ticket_of(scene.owner, scene.victim.device_id))))
    await AppStream(socket).exchange(b"our own page")


class FalseDevice(EchoDevice):
    """Has the device's certificate and key, but not its channel key; `received` is all that apps sent to it."""

    def __init__(self, echo: EchoDevice, key: ChannelKey, listed: Entry) -> None:
        super().__init__(echo.device_id, echo.epoch, echo.key, echo.chain, echo.trust, list(echo.ports))
        self.received: list[CoapMessage] = []
        self._channel = Channel.responder(key, lambda _kid: listed, random=os.urandom)

    async def _echo(self, socket: WebSocket) -> None:
        mux = DeviceMux()
        while True:
            mux.receive(await socket.receive())
            for event in mux.events():
                if isinstance(event, StreamMessage) and event.stream:
                    self._take(mux, event)
            for batch in mux.drain():
                await socket.send(batch)

    def _take(self, mux: DeviceMux, event: StreamMessage) -> None:
        self.received.append(stream.decode(event.data))
        self._channel.receive(self.received[-1], time.monotonic())
        for told in self._channel.events():
            if isinstance(told, RequestReceived):
                self._channel.respond(told.handle, CoapMessage(codes.CONTENT, payload=SECRET))
        for answer in self._channel.drain():
            mux.send(event.stream, stream.encode(answer))


@ON_SQLITE
@pytest.mark.parametrize("has_the_key", [True, False], ids=["with its channel key", "with another"])
async def test_whoever_stands_in_the_devices_place_is_not_the_device(
    scene: Scene, tmp_path: Path, has_the_key: bool
) -> None:
    """The relay's operator leads the owner's app to whatever he likes. The app knows the device's channel key."""
    ca_pem = scene.site.keystore.people_ca.certificate_pem.decode()
    app = App.logged_in(scene.owner, ca_pem, tmp_path / "app")
    genuine, false = ChannelKey(new_key()), ChannelKey(new_key())
    place = await scene.talking.device(scene.owner, scene.site.stage.ports.device_relay)
    await place.echo.stop()
    listed = Entry(app.card.channel, b"", "owner", 1, "app", 0, ())
    impostor = FalseDevice(place.echo, genuine if has_the_key else false, listed)
    impostor.start()
    scene.talking.devices.append(impostor)
    await until(lambda: impostor.port is not None)
    url = f"wss://localhost:{scene.app_port}"
    known = KnownDevice(
        device_id=place.device_id,
        origin=scene.site.origin,
        channel=genuine.credential.spki,
        epoch=1,
        name="lock",
        relay_urls=[url],
    )
    app.learn(known)
    if has_the_key:
        async with app.far(impostor) as channel:
            assert (await channel.get("/lock")).payload == SECRET
        return
    assert isinstance(await app.refusal(app.far(impostor)), AuthenticationFailed)
    assert impostor.received
    assert {each.path for each in impostor.received} == {EDHOC_PATH}
    assert not any(each.option(options.OSCORE) for each in impostor.received)


async def test_an_app_that_the_device_does_not_list_gets_no_channel(
    world: World, owner: Path, tmp_path: Path
) -> None:
    """It has the owner's login and knows the device; or it is the server, and has all of its keys."""
    device = await world.owned(owner, application="lock")
    await device.told("relay_connected")
    app = App(SessionStore(owner))
    thief, keys = app.another(tmp_path / "thief"), app.store.app_keys()
    thief.learn(app.knows(device))
    async with app.far(device) as channel:
        before = (await CredentialApi(channel).list(), device.events("channel_established"))
        for key in (thief.key, ChannelKey(world.keystore().channel_key), ChannelKey(keys.signing)):
            assert isinstance(await thief.refusal(thief.far(device, key=key)), AuthenticationFailed)
        assert (await CredentialApi(channel).list(), device.events("channel_established")) == before
