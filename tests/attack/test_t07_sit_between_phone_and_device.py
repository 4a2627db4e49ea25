"""T07. Means: every message between phone and device passes through the attacker's hands; later he knows the code
too. Goal: read or change what they say, or be activated in the device's place.
"""

import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from admittance.client.provisioning import Provisioning
from admittance.client.provisioning_ports import Challenge
from admittance.errors import (
    AdmittanceError,
    EvidenceRefused,
    InsecureDevice,
    SessionLost,
    WrongBinding,
    WrongCode,
)
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.client import Request, Response
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.security2 import SessionCipher, session_binding
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ClientHandshake, ServerHandshake
from admittance.wire import chunks, message
from admittance.wire import provisioning_messages as wire_messages
from admittance.wire.evidence import Evidence
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.protocomm import session
from admittance.wire.protocomm.parsing import Status
from admittance.wire.provisioning_messages import EvidenceAnswer, Hello
from tests.attack.wire import Exchange, Forward, Wire
from tests.attack.world import Device, World

SUITE = PROVISIONING_SUITE
Tamper = Callable[[Request, Forward], Awaitable[Response]]


def _flipped(data: bytes) -> bytes:
    """One bit in the middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


async def own_public_to_device(request: Request, forward: Forward) -> Response:
    if request.endpoint == "prov-session":
        command = session.decode_command(request.body)
        if isinstance(command, session.Command0):
            mine = ClientHandshake.start(SUITE, username=command.username, password="", random=os.urandom)
            changed = session.Command0(command.username, mine.client_public)
            request = dataclasses.replace(request, body=session.encode_command(changed))
    return await forward(request)


def _challenge(change: Callable[[session.Response0], session.Response0]) -> Tamper:
    async def tamper(request: Request, forward: Forward) -> Response:
        response = await forward(request)
        if request.endpoint == "prov-session" and request.cookie is None:
            body = session.encode_response(change(session.decode_response0(response.body)))
            response = dataclasses.replace(response, body=body)
        return response

    return tamper


def _result(change: Callable[[session.Response1], session.Response1]) -> Tamper:
    async def tamper(request: Request, forward: Forward) -> Response:
        response = await forward(request)
        if request.endpoint == "prov-session" and request.cookie is not None:
            body = session.encode_response(change(session.decode_response1(response.body)))
            response = dataclasses.replace(response, body=body)
        return response

    return tamper


def _version(told: str, instead: str) -> Tamper:
    async def tamper(request: Request, forward: Forward) -> Response:
        response = await forward(request)
        if request.endpoint == stock.VERSION:
            assert told.encode() in response.body
            response = dataclasses.replace(response, body=response.body.replace(told.encode(), instead.encode()))
        return response

    return tamper


async def request_changed(request: Request, forward: Forward) -> Response:
    if request.endpoint.startswith("admit-"):
        request = dataclasses.replace(request, body=_flipped(request.body))
    return await forward(request)


async def answer_changed(request: Request, forward: Forward) -> Response:
    response = await forward(request)
    if request.endpoint.startswith("admit-"):
        response = dataclasses.replace(response, body=_flipped(response.body))
    return response


class Replay:
    """Sends the first request again in the place of the second, or gives its answer again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._first: Exchange | None = None

    async def __call__(self, request: Request, forward: Forward) -> Response:
        if not request.endpoint.startswith("admit-"):
            return await forward(request)
        if self._first is None:
            self._first = Exchange(request, await forward(request))
            return self._first.response
        if self._what == "answer":
            return self._first.response
        return await forward(dataclasses.replace(request, body=self._first.request.body))


TAMPERING: dict[str, tuple[Tamper, type[AdmittanceError]]] = {
    "own A": (own_public_to_device, WrongCode),
    "own B": (_challenge(lambda found: dataclasses.replace(found, device_public=os.urandom(384))), WrongCode),
    "B = 0": (_challenge(lambda found: dataclasses.replace(found, device_public=bytes(384))), InsecureDevice),
    "B = N": (
        _challenge(lambda found: dataclasses.replace(found, device_public=SUITE.pad(SUITE.n))),
        InsecureDevice,
    ),
    "other salt": (_challenge(lambda found: dataclasses.replace(found, salt=_flipped(found.salt))), WrongCode),
    "own M2": (
        _result(lambda found: dataclasses.replace(found, device_proof=os.urandom(64))),
        InsecureDevice,
    ),
    "other counter": (
        _result(lambda found: dataclasses.replace(found, device_nonce=found.device_nonce[:11] + b"\2")),
        InsecureDevice,
    ),
    "other nonce": (
        _result(lambda found: dataclasses.replace(found, device_nonce=_flipped(found.device_nonce))),
        SessionLost,
    ),
    "Security 1": (_version('"sec_ver":2', '"sec_ver":1'), InsecureDevice),
    "no code": (_version('"cap":[', '"cap":["no_pop",'), InsecureDevice),
    "request changed": (request_changed, SessionLost),
    "answer changed": (answer_changed, SessionLost),
    "request replayed": (Replay("request"), SessionLost),
    "answer replayed": (Replay("answer"), SessionLost),
}


async def _owners_devices(world: World, owner: Path) -> set[str]:
    async with world.api(owner) as api:
        return {device.device_id for device in await api.devices()}


async def test_whatever_is_changed_ends_it(world: World, owner: Path, tmp_path: Path) -> None:
    device = await world.unowned()
    seen: list[PossessionQr] = []
    for number, (name, (tamper, expected)) in enumerate(TAMPERING.items()):
        code = await device.next_code(*seen)
        wire = Wire(world.stage.premises_socket, tamper)
        path = tmp_path / f"{number}.sock"
        async with wire.tapped(path):
            with pytest.raises(expected):
                await world.set_up(owner, code, socket=path)
        assert wire.exchanges, f"{name}: nothing passed through the attacker's hands."
        if device.code() != code:
            seen.append(code)
    assert device.device_id not in await _owners_devices(world, owner)
    assert not device.events("configured")


async def test_who_only_relays_learns_nothing(world: World, owner: Path, tmp_path: Path) -> None:
    device = await world.unowned()

    async def relay(request: Request, forward: Forward) -> Response:
        return await forward(request)

    wire = Wire(world.stage.premises_socket, relay)
    async with wire.tapped(tmp_path / "air.sock"):
        await world.set_up(owner, await device.next_code(), socket=tmp_path / "air.sock")
    said = b"".join(part for found in wire.exchanges for part in (found.request.body, found.response.body))
    assert device.birth.device_id.encode() not in said
    assert world.home.passphrase.encode() not in said
    assert len(wire.exchanges) > 10


class DoubleAgent:
    """Knows the code, is the device to the phone and the phone to the device: two sessions of its own."""

    def __init__(self, code: PossessionQr, change: "Change") -> None:
        self.read: list[bytes] = []
        self.near_binding = b""
        self._code = code
        self._change = change
        self._handshake: ServerHandshake | None = None
        self._near: SessionCipher | None = None
        self._far: SessionCipher | None = None
        self._cookie: str | None = None

    async def __call__(self, request: Request, forward: Forward) -> Response:
        if request.endpoint == stock.VERSION:
            return await forward(request)
        if request.endpoint != stock.SESSION:
            return await self._pass_on(request, forward)
        command = session.decode_command(request.body)
        if isinstance(command, session.Command0):
            await self._enter(forward)
            return self._welcome(command)
        assert isinstance(command, session.Command1)
        assert self._handshake is not None
        agreement, proof = self._handshake.finish(command.client_proof)
        self.near_binding = session_binding(agreement)
        self._near = SessionCipher(agreement, os.urandom(8))
        return Response(200, session.encode_response(session.Response1(Status.SUCCESS, proof, self._near.nonce)))

    def _welcome(self, command: session.Command0) -> Response:
        salt = b"\1" * 16
        self._handshake = ServerHandshake.start(
            SUITE,
            username=command.username,
            salt=salt,
            verifier=SUITE.verifier(command.username, self._code.pop, salt),
            client_public=command.client_public,
            random=os.urandom,
        )
        challenge = session.Response0(Status.SUCCESS, self._handshake.server_public, salt)
        return Response(200, session.encode_response(challenge), "7")

    async def _enter(self, forward: Forward) -> None:
        mine = ClientHandshake.start(SUITE, username=self._code.username, password=self._code.pop, random=os.urandom)
        command = session.encode_command(session.Command0(self._code.username, mine.client_public))
        answer = await forward(Request(stock.SESSION, command))
        self._cookie = answer.cookie
        challenge = session.decode_response0(answer.body)
        proof = mine.answer(challenge.salt, challenge.device_public)
        command = session.encode_command(session.Command1(proof.proof))
        result = session.decode_response1((await forward(Request(stock.SESSION, command, self._cookie))).body)
        self._far = SessionCipher.from_nonce(proof.check(result.device_proof), result.device_nonce)

    async def _pass_on(self, request: Request, forward: Forward) -> Response:
        assert self._near is not None
        assert self._far is not None
        plaintext = self._near.decrypt(request.body)
        answer = await forward(Request(request.endpoint, self._far.encrypt(plaintext), self._cookie))
        content = self._far.decrypt(answer.body)
        self.read += [plaintext, content]
        return Response(200, self._near.encrypt(self._change(request.endpoint, content, self)))


Change = Callable[[str, bytes, DoubleAgent], bytes]


class Careless(Provisioning):
    """A phone that believes any evidence: only the server stands against the attacker."""

    def _check_evidence(self, evidence: Evidence, hello: Hello, challenge: Challenge, binding: bytes) -> None:
        return None


def _careless(phone: Provisioning) -> Provisioning:
    return Careless(**{item.name: getattr(phone, item.name) for item in dataclasses.fields(phone)})


def as_it_is(endpoint: str, content: bytes, agent: DoubleAgent) -> bytes:
    return content


def binding_swapped(endpoint: str, content: bytes, agent: DoubleAgent) -> bytes:
    """Put the phone's own binding into the evidence, under the device's signature."""
    if endpoint != wire_messages.EVIDENCE:
        return content
    chunk = chunks.decode(content)
    answer = wire_messages.decode_answer(chunk.data, EvidenceAnswer)
    assert isinstance(answer, EvidenceAnswer)
    true = read_evidence(answer.evidence)
    changed = answer.evidence.replace(true.evidence.binding, agent.near_binding)
    body = wire_messages.encode_answer(EvidenceAnswer(changed, answer.transaction_id, answer.resume_code))
    assert message.decode(read_evidence(changed).sign1.payload, Evidence).binding == agent.near_binding
    return chunks.encode(chunks.part(body, chunk.id, 0, chunks.HTTP_CHUNK_BYTES))


async def _between(
    world: World, owner: Path, device: Device, path: Path, change: Change, *, careful: bool
) -> tuple[AdmittanceError, DoubleAgent]:
    code = await device.next_code()
    agent = DoubleAgent(code, change)
    async with Wire(world.stage.premises_socket, agent).tapped(path), world.phone(owner, socket=path) as phone:
        with pytest.raises(AdmittanceError) as refused:
            await (phone if careful else _careless(phone)).run(code)
    return refused.value, agent


async def test_two_sessions_of_one_code_are_told_apart(
    world: World, owner: Path, stranger: Path, tmp_path: Path
) -> None:
    device = await world.unowned()
    seen, agent = await _between(world, owner, device, tmp_path / "1.sock", as_it_is, careful=True)
    assert isinstance(seen, WrongBinding), "The phone itself sees that evidence and session differ."
    assert any(device.device_id.encode() in said for said in agent.read), "The attacker does read both sessions."

    device = await world.unowned()
    relayed, _ = await _between(world, owner, device, tmp_path / "2.sock", as_it_is, careful=False)
    assert await world.audited(f"device:{device.device_id}") == [("activation.refused", {"reason": "wrong_binding"})]

    device = await world.unowned()
    swapped, _ = await _between(world, owner, device, tmp_path / "3.sock", binding_swapped, careful=True)
    assert await world.audited(f"device:{device.device_id}") == [
        ("activation.refused", {"reason": "signature_invalid"})
    ]
    assert type(relayed) is type(swapped) is EvidenceRefused, "From outside both look alike."
    assert str(relayed) == str(swapped)
    assert device.device_id not in await _owners_devices(world, owner)
