"""T10. Means: all that a phone holds and sees while the server manages the network, or all that a server keeps and
sees while the app manages it. Goal: read the passphrase of the premises network.
"""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.client.device_link import DeviceLink, HttpDoor
from admittance.client.network import SimulatedNetwork
from admittance.client.provisioning_ports import Link, PossessionCode
from admittance.client.provisioning_state import RunningProvisioning, StateFile
from admittance.client.session_store import SessionStore
from admittance.device.state import StateFile as DeviceStateFile
from admittance.errors import Malformed
from admittance.protocol.provisioning.client import Call, ProvisioningClient, run
from admittance.protocol.provisioning.network_secret import SALT_BYTES, Network
from admittance.protocol.sealing import HybridSealKey
from admittance.wire import cbor, message
from admittance.wire.cose import Sign1
from admittance.wire.sealed import Configuration, Envelope
from tests.attack.world import World

LONGEST_CIPHERTEXT = 120
STORED = "home"


class Ears(httpx.AsyncBaseTransport):
    """The phone's way to the server: keeps every body, and what the phone has on disk at that moment."""

    def __init__(self, inner: httpx.AsyncBaseTransport, profile: Path) -> None:
        self._inner = inner
        self._profile = profile
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        self.files: list[bytes] = []
        self.running: list[RunningProvisioning] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        self.sent.append(str(request.url).encode() + repr(request.headers.raw).encode() + await request.aread())
        self.received.append(content)
        self.look()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    def look(self) -> None:
        self.files += [path.read_bytes() for path in self._profile.rglob("*") if path.is_file()]
        if (self._profile / "provisioning.json").exists():
            self.running.append(StateFile(self._profile).load())

    async def aclose(self) -> None:
        await self._inner.aclose()


class ListeningDoor(HttpDoor):
    """The phone's way to the device: keeps what the device says inside of the session."""

    def __init__(self, network: SimulatedNetwork) -> None:
        super().__init__(network, os.urandom)
        self.said: list[bytes] = []

    async def enter(self, code: PossessionCode) -> Link:
        client = Listening(code.username, code.code, os.urandom)
        client.said = self.said
        await run(client.open(), self._exchange)
        return DeviceLink(client, self._exchange)


class Listening(ProvisioningClient):
    """A session that keeps every plaintext, either way."""

    said: list[bytes]

    def _secured(self, endpoint: str, plaintext: bytes) -> Call[bytes]:
        answer = yield from super()._secured(endpoint, plaintext)
        self.said += [plaintext, answer]
        return answer


def networks_in(material: bytes, key: bytes, device_id: str, transaction_id: bytes) -> Iterator[Network]:
    """Every network that `key` opens anywhere in `material`, taking each offset for the beginning of the salt."""
    aad = cbor.encode(["admittance/network/1", device_id, transaction_id, 0])
    for start in range(len(material) - SALT_BYTES - 16):
        salt, rest = material[start : start + SALT_BYTES], material[start + SALT_BYTES :]
        cipher = AESGCM(HKDF(hashes.SHA256(), 32, salt, b"admittance/network/1").derive(key))
        for size in range(16, min(len(rest), LONGEST_CIPHERTEXT) + 1):
            try:
                plaintext = cipher.decrypt(bytes(12), rest[:size], aad)
            except InvalidTag:
                continue
            try:
                yield message.decode(plaintext, Network)
            except Malformed:
                continue


def forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it may stand in a file: as it is, in hexadecimal, in base64 at each of the three alignments."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + secret)
            yield whole[(shift * 8 + 5) // 6 : len(secret) * 8 // 6]


def holds(content: bytes, secret: bytes) -> bool:
    return any(form in content for form in forms(secret))


async def test_the_phone_cannot_read_a_network_that_the_server_manages(world: World, owner: Path) -> None:
    device = await world.unowned()
    async with world.api(owner) as api:
        await api.put_network(STORED, ssid=world.home.ssid, passphrase=world.home.passphrase)
    heard: list[Ears] = []
    doors: list[ListeningDoor] = []

    def around(inner: httpx.AsyncBaseTransport) -> Ears:
        heard.append(Ears(inner, owner))
        return heard[-1]

    def door(network: SimulatedNetwork) -> ListeningDoor:
        doors.append(ListeningDoor(network))
        return doors[-1]

    async with world.phone(owner, networks=[], server_network=STORED, around=around, door=door) as phone:
        await phone.run(await device.next_code())
        await doors[0].close()
    assert (await device.status())["network"] == world.home.ssid, "The device did get the network."

    (ears,) = heard
    running = next(state for state in reversed(ears.running) if state.sealed is not None)
    assert running.sealed is not None
    seen = ears.sent + ears.received + ears.files + doors[0].said
    assert doors[0].said
    assert not any(holds(content, world.home.passphrase.encode()) for content in seen)
    for key in (running.app_key, running.binding, running.challenge):
        assert not list(networks_in(running.sealed, key, running.device_id, running.transaction_id))

    record = DeviceStateFile(device.state).load()
    assert record is not None
    envelope = message.decode(Sign1.decode(running.sealed).payload, Envelope)
    opened = HybridSealKey.from_bytes(record.keys.seal).decrypt(envelope.ciphertext, envelope.header)
    found = networks_in(opened, running.app_key, running.device_id, running.transaction_id)
    assert list(found) == [world.home], "The search finds the network where the seal does not hide it."
    network = message.decode(opened, Configuration).network
    assert not list(networks_in(network, bytes(32), running.device_id, running.transaction_id))
    assert not holds(opened, world.home.passphrase.encode()), "The seal key alone does not open it either."


async def test_the_server_cannot_read_a_network_that_the_app_manages(world: World) -> None:
    profile = await world.account("keeps-it-to-herself")
    device = await world.unowned()
    secret, mistyped = world.home, Network(world.home.ssid, "not yet the right one")
    heard: list[Ears] = []

    def around(inner: httpx.AsyncBaseTransport) -> Ears:
        heard.append(Ears(inner, profile))
        return heard[-1]

    kept_before = _kept(world)
    async with world.phone(profile, networks=[mistyped, secret], around=around) as phone:
        await phone.run(await device.next_code())
    assert (await device.status())["network"] == secret.ssid

    (ears,) = heard
    app_key = ears.running[-1].app_key
    assert any(holds(content, app_key) for content in ears.files), "The phone does hold the app key."
    for content in [*ears.sent, *ears.received]:
        assert not holds(content, app_key)
        assert not holds(content, secret.passphrase.encode())
        assert not holds(content, mistyped.passphrase.encode())
    kept = _kept(world)
    assert any(holds(content, device.device_id.encode()) for content in kept.values()), "The server's files are read."
    assert any(content != kept_before.get(path) for path, content in kept.items())
    email = SessionStore(profile).load().email
    assert any(holds(content, email.encode()) for content in kept.values())
    for path, content in kept.items():
        assert not holds(content, app_key), path
        assert not holds(content, secret.passphrase.encode()), path
        assert not holds(content, mistyped.passphrase.encode()), path


def _kept(world: World) -> dict[Path, bytes]:
    """The server's database with its log, its files, and what it printed."""
    files = [path for path in world.stage.data.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in [*files, world.stage.folder / "logs" / "server.log"]}
