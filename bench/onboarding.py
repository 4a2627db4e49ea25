"""What onboarding a device costs the server, from challenge to certificate.

A certified device with a hybrid seal key goes through the server's real HTTP applications, called in this process, on
SQLite as it is configured by default (WAL, synchronous=FULL). Only the server's side is counted: requests are made
beforehand. TLS and the parsing of HTTP/1.1 are not in it.

- `cpu_per_device_over_floor`: CPU time for one device over that of the same public-key operations alone, measured in
  the same run. The operations are listed, with how often each is done, in `OPERATIONS`.
- `devices_per_second`: one device after the other, by the clock on the wall.
- `cpu_per_device_ms`, `floor_ms`: the two times that the first figure divides.
"""

import asyncio
import io
import os
import tempfile
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey
from starlette.types import ASGIApp

from admittance.client.dpop import DpopKey
from admittance.protocol.sealing import HybridSealKey
from admittance.protocol.sealing.keys import HYBRID_SUITE
from admittance.server.access import assembly as access_services
from admittance.server.access.clients import FIRST_PARTY
from admittance.server.access.sessions import new_session_id
from admittance.server.accounts import routes as account_routes
from admittance.server.accounts import service as account_service
from admittance.server.app import application
from admittance.server.database import Database
from admittance.server.guard import PEOPLE_HEADERS, Guard
from admittance.server.logs import configure_logs
from admittance.wire import base64url, message
from admittance.wire.enrolment import Enrolled, Nonce, NonceRequest
from tests.device_world import ORIGIN, World

DEVICES = 100
WARM_UP = 10
FLOOR_ROUNDS = 100

_EMAIL = "ann@example.org"
_PASSWORD = "seven grey herons at dusk"

OPERATIONS = {
    "ES256 verify: DPoP proofs": 2,
    "ES256 verify: maker's signature on the identity certificate": 1,
    "ES256 verify: evidence": 1,
    "HPKE seal, ML-KEM-768 + X25519: sealed configuration": 1,
    "ES256 sign: sealed configuration": 1,
    "ES256 verify: enrolment request": 1,
    "ES256 verify: proof of possession in PKCS #10": 1,
    "ES256 sign: operational certificate": 1,
}
ES256_VERIFICATIONS = sum(count for name, count in OPERATIONS.items() if name.startswith("ES256 verify"))
ES256_SIGNATURES = sum(count for name, count in OPERATIONS.items() if name.startswith("ES256 sign"))
HPKE_SEALS = sum(count for name, count in OPERATIONS.items() if name.startswith("HPKE"))


def run() -> dict[str, float]:
    return asyncio.run(_run())


async def _run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{folder}/admittance.db")
        await database.migrate()
        phone = await _Phone.prepare(World(database, Path(folder), now=time.time()))
        for _ in range(WARM_UP):
            await phone.onboard()
        phone.cpu_s = phone.wall_s = 0.0
        floor_before = _floor_s()
        for _ in range(DEVICES):
            await phone.onboard()
        floor_s = (floor_before + _floor_s()) / 2
        await database.close()
    cpu_s = phone.cpu_s / DEVICES
    return {
        "cpu_per_device_over_floor": cpu_s / floor_s,
        "devices_per_second": DEVICES / phone.wall_s,
        "cpu_per_device_ms": cpu_s * 1000,
        "floor_ms": floor_s * 1000,
    }


class _Phone:
    """Phone and device at once; `cpu_s` and `wall_s` add up what the server took."""

    def __init__(self, world: World, people: ASGIApp, first_contact: ASGIApp) -> None:
        self._world = world
        self._people = people
        self._first_contact = first_contact
        self._key = DpopKey.generate()
        self._token: str | None = None
        self._nonce: str | None = None
        self.cpu_s = 0.0
        self.wall_s = 0.0

    @classmethod
    async def prepare(cls, world: World) -> "_Phone":
        """A phone that is logged in at a server with the log going to memory."""
        configure_logs("json", "info", io.StringIO())
        foundation = world.foundation
        ground = access_services.ground_of(foundation)
        logins = access_services.login_services(ground)
        accounts = account_service.build(
            database=foundation.database,
            clock=foundation.clock,
            audit=foundation.audit_log,
            envelope=foundation.envelope,
            origin=ORIGIN,
            code_key=foundation.keystore.code_key,
            dpop_nonce_key=foundation.keystore.dpop_nonce_key,
            default_quota=DEVICES + WARM_UP,
            sessions=logins.sessions,
        )
        routes = [
            *account_routes.routes(accounts, origin=ORIGIN, count_devices=world.services.fleet.count),
            *world.services.people_routes(accounts),
        ]
        phone = cls(
            world,
            Guard(application(routes), "people", PEOPLE_HEADERS),
            Guard(application(world.services.first_contact_routes()), "first_contact"),
        )
        invite = await accounts.invites.create(email=_EMAIL, operator=False, quota=DEVICES + WARM_UP, actor="bench")
        account_id = await accounts.invites.accept(
            secret=invite.secret, email=_EMAIL, password=_PASSWORD, display_name="Ann", source="127.0.0.1"
        )
        async with foundation.database.transaction() as connection:
            session = await logins.sessions.begin(
                connection,
                session_id=new_session_id(),
                account_id=account_id,
                client=FIRST_PARTY,
                jkt=phone._key.jkt,
                scope=FIRST_PARTY.scope,
                audience=ORIGIN,
                by="bench",
                now=foundation.clock(),
            )
        phone._token = logins.sessions.answer(session, refreshable=False).access_token
        return phone

    async def onboard(self) -> None:
        device = self._world.device("lamp", "hybrid", certified=True)
        answer = await self._ask("/api/challenges", {"purpose": "provision"})
        challenge, binding = base64url.decode(answer["challenge"]), os.urandom(32)
        activation = await self._ask(
            "/api/activations",
            {
                "challenge": answer["challenge"],
                "evidence": base64url.encode(device.evidence(challenge, binding)),
                "binding": base64url.encode(binding),
                "transaction_id": base64url.encode(os.urandom(16)),
                "network": {"mode": "app"},
            },
        )
        opened = device.open(base64url.decode(activation["sealed"]), self._world.root_spki_sha256)
        answered = await self._tell("/enrolment/nonce", message.encode(NonceRequest(device.device_id)))
        nonce = message.decode(answered, Nonce).nonce
        key = ec.generate_private_key(ec.SECP256R1())
        request = device.enrolment(key, nonce, opened.configuration.ticket)
        message.decode(await self._tell("/enrolment/requests", request), Enrolled)

    async def _ask(self, path: str, content: dict[str, Any]) -> Any:
        if self._nonce is None:
            _, headers, _ = await self._call(self._people, path, self._headers(path), b"{}")
            self._nonce = headers["dpop-nonce"]
        status, _, answer = await self._counted(self._people, path, self._headers(path), msgspec.json.encode(content))
        if status >= 300:
            raise RuntimeError(f"{path} answered {status}: {answer!r}")
        return msgspec.json.decode(answer)

    def _headers(self, path: str) -> dict[str, str]:
        token = self._token
        now = self._world.clock()
        proof = self._key.proof(method="POST", uri=ORIGIN + path, now=now, nonce=self._nonce, access_token=token)
        headers = {"content-type": "application/json", "dpop": proof}
        return headers if token is None else headers | {"authorization": f"DPoP {token}"}

    async def _tell(self, path: str, content: bytes) -> bytes:
        headers = {"content-type": "application/cbor"}
        status, _, answer = await self._counted(self._first_contact, path, headers, content)
        if status >= 300:
            raise RuntimeError(f"{path} answered {status}: {answer!r}")
        return answer

    async def _counted(
        self, app: ASGIApp, path: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        cpu, wall = time.process_time(), time.perf_counter()
        answer = await self._call(app, path, headers, content)
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall
        return answer

    async def _call(
        self, app: ASGIApp, path: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer."""
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(event: MutableMapping[str, Any]) -> None:
            sent.append(event)

        await app(_scope(path, headers, content), receive, send)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answered, b"".join(event.get("body", b"") for event in sent)


def _scope(path: str, headers: dict[str, str], content: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-length", str(len(content)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8443),
    }


def _floor_s() -> float:
    """CPU seconds of `OPERATIONS` for one device, each done alone with its library and nothing around it."""
    data = os.urandom(600)
    key = ec.generate_private_key(ec.SECP256R1())
    public_key, algorithm = key.public_key(), ec.ECDSA(hashes.SHA256())
    signature = key.sign(data, algorithm)
    seal_key = HybridSealKey.generate()
    recipient = MLKEM768X25519PublicKey(seal_key.mlkem.public_key(), seal_key.x25519.public_key())
    verify = _cpu_s(lambda: public_key.verify(signature, data, algorithm))
    sign = _cpu_s(lambda: key.sign(data, algorithm))
    seal = _cpu_s(lambda: HYBRID_SUITE.encrypt(data, recipient, b"info"))
    return verify * ES256_VERIFICATIONS + sign * ES256_SIGNATURES + seal * HPKE_SEALS


def _cpu_s(operation: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(FLOOR_ROUNDS):
        operation()
    return (time.process_time() - began) / FLOOR_ROUNDS
