"""A lock in a test's hands that takes what the server tells it of access, by the device's own rules, and a guest."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from admittance.client.oauth.authorization_server import CLIENT_ID
from admittance.errors import AdmittanceError, NotAllowed
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import RequestReceived
from admittance.protocol.relay.device_mux import DeviceMux, StreamMessage
from admittance.transport.websocket import WebSocket
from admittance.wire import base64url, message
from admittance.wire.access import MAX_PUSH_BYTES, PUSH_PATH, AccessPush
from admittance.wire.channel import Entry
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from tests.attack.relay_site import device_trust, until
from tests.attack.site import Login, Site, new_key
from tests.device_world import FakeDevice
from tests.relay_ends import EchoDevice

HOUR_S = 3600
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@dataclass
class GrantedLock(EchoDevice):
    """Stream 0 is a channel to the server; what apps send comes back."""

    channel_key: ChannelKey | None = None
    server: bytes = b""
    access: GrantedAccess = field(default_factory=GrantedAccess)

    @property
    def keys(self) -> set[str]:
        """The tokens that open it, as apps have them."""
        return {base64url.encode(key.token) for key in self.access.keys}

    async def _echo(self, socket: WebSocket) -> None:
        assert self.channel_key is not None
        self.access = self.access.of_epoch(self.epoch)
        channel = Channel.responder(self.channel_key, self._find, random=os.urandom)
        mux = DeviceMux()
        while True:
            mux.receive(await socket.receive())
            for event in mux.events():
                if isinstance(event, StreamMessage) and event.stream == 0:
                    self._converse(channel, mux, event.data)
                elif isinstance(event, StreamMessage):
                    mux.send(event.stream, b"echo:" + event.data)
            for batch in mux.drain():
                await socket.send(batch)

    def _converse(self, channel: Channel, mux: DeviceMux, data: bytes) -> None:
        channel.receive(stream.decode(data), asyncio.get_running_loop().time())
        for event in channel.events():
            if isinstance(event, RequestReceived):
                channel.respond(event.handle, self._answer(event.message))
        for outgoing in channel.drain():
            mux.send(0, stream.encode(outgoing))

    def _answer(self, request: CoapMessage) -> CoapMessage:
        if request.path != PUSH_PATH:
            return CoapMessage(codes.CHANGED)
        code = codes.CONTENT
        if request.code == codes.POST:
            code = codes.CHANGED
            push = message.decode(request.payload, AccessPush, max_bytes=MAX_PUSH_BYTES)
            try:
                self.access = self.access.take(push, now=int(time.time()))
            except AdmittanceError as error:
                return CoapMessage(codes.CONFLICT if error.code == "conflict" else codes.FORBIDDEN)
        return CoapMessage(code, payload=message.encode(self.access.state))

    def _find(self, kid: bytes) -> Entry:
        entry = Entry(self.server, b"", "server", self.epoch, "server", 0, ())
        if entry.kid != kid:
            raise NotAllowed("not listed")
        return entry


@dataclass
class Granting:
    """A server with locks that are connected to it; they are stopped with it."""

    site: Site
    locks: list[GrantedLock] = field(default_factory=list)

    async def lock(self, owner: Login) -> tuple[FakeDevice, GrantedLock]:
        """A new lock of that account, connected."""
        device, key = self.site.certified(), ChannelKey(new_key())
        device.channel = key.credential.spki
        enrolment = await self.site.onboard(owner, device)
        port = self.site.stage.ports.device_relay
        lock = GrantedLock(
            device.device_id,
            device.epoch,
            enrolment.key,
            enrolment.chain,
            device_trust(self.site),
            [port],
            channel_key=key,
            server=self.site.keystore.channel_spki,
        )
        lock.start()
        self.locks.append(lock)
        await until(lambda: lock.port == port)
        return device, lock

    async def end(self) -> None:
        await asyncio.gather(*(lock.stop() for lock in self.locks))


def terms(device_id: str, email: str | None, **changes: Any) -> dict[str, Any]:
    """The body of `POST /api/grants`: an hour's access."""
    now = int(time.time())
    return {
        "name": "Guest",
        "email": email,
        "access": [{"device_id": device_id, "actions": ["PUT /lock"]}],
        "begins_at": now - 60,
        "ends_at": now + HOUR_S,
        **changes,
    }


async def give(owner: Login, device_id: str, email: str | None, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = await owner.ask("POST", "/api/grants", terms(device_id, email, **changes))
    return given


async def exchange(login: Login, resource: str, **changes: str) -> httpx.Response:
    """Ask for a device token with what that app holds."""
    form = {
        "client_id": CLIENT_ID,
        "grant_type": EXCHANGE,
        "subject_token": login.token,
        "subject_token_type": ACCESS_TOKEN,
        "resource": resource,
        "client_share": base64url.encode(os.urandom(32)),
        **changes,
    }
    return await login.post("/oauth/token", form)


async def token(login: Login, device_id: str, **changes: str) -> httpx.Response:
    return await exchange(login, f"{login.origin}/d/{device_id}", **changes)
