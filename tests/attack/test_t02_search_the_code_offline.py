"""T02. Means: every byte of provisioning sessions off the air, and a list of codes that holds the right one. Goal:
tell which one is right, without asking the device.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admittance.errors import AuthenticationFailed, InsecureDevice
from admittance.protocol.provisioning.client import Request, Response
from admittance.protocol.provisioning.codes import CODE_BYTES
from admittance.protocol.provisioning.security2 import KEY_BYTES
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ServerHandshake, Suite
from admittance.wire import crockford
from admittance.wire.protocomm import session
from admittance.wire.protocomm.parsing import Status
from tests.attack.wire import Exchange, Forward, Wire
from tests.attack.world import World

SUITE = PROVISIONING_SUITE
CODES = 8
SESSIONS = 20


@dataclass(frozen=True)
class Transcript:
    """One session as it went over the air: the handshake, and the first message under the session key."""

    username: str
    client_public: bytes
    salt: bytes
    device_public: bytes
    client_proof: bytes
    device_proof: bytes
    nonce: bytes
    ciphertext: bytes


def transcripts(exchanges: Sequence[Exchange]) -> list[Transcript]:
    """Every whole session in a recording."""
    found = []
    for opening, proving, first in zip(exchanges, exchanges[1:], exchanges[2:], strict=False):
        if not opening.request.endpoint == proving.request.endpoint == "prov-session":
            continue
        command = session.decode_command(opening.request.body)
        proof = session.decode_command(proving.request.body)
        challenge = session.decode_response0(opening.response.body)
        result = session.decode_response1(proving.response.body)
        assert isinstance(command, session.Command0)
        assert isinstance(proof, session.Command1)
        found.append(
            Transcript(
                command.username,
                command.client_public,
                challenge.salt,
                challenge.device_public,
                proof.client_proof,
                result.device_proof,
                result.device_nonce,
                first.request.body,
            )
        )
    return found


def dictionary(right: str) -> list[str]:
    """Candidate codes, the right one among them."""
    wrong = [crockford.encode(os.urandom(CODE_BYTES)) for _ in range(CODES - 1)]
    return [*wrong[: CODES // 2], right, *wrong[CODES // 2 :]]


def search(transcript: Transcript, codes: Sequence[str], exponent: int | None = None) -> list[str]:
    """The codes that the transcript confirms: by either proof, or by opening the first message.

    For each code everything is tried as the secret that can be computed of what went over the air, and with the
    phone's `exponent` the true one.
    """
    return [code for code in codes if any(_confirms(transcript, key) for key in _keys(transcript, code, exponent))]


def _keys(transcript: Transcript, code: str, exponent: int | None) -> list[bytes]:
    x = SUITE.private_key(transcript.username, code, transcript.salt)
    verifier = pow(SUITE.g, x, SUITE.n)
    u = SUITE.scrambler(transcript.client_public, transcript.device_public)
    a_public = int.from_bytes(transcript.client_public, "big")
    b_public = int.from_bytes(transcript.device_public, "big")
    g_to_b = (b_public - SUITE.multiplier * verifier) % SUITE.n
    secrets = [
        verifier,
        g_to_b,
        a_public * pow(verifier, u, SUITE.n) % SUITE.n,
        pow(g_to_b, u * x, SUITE.n),
        pow(a_public, x, SUITE.n),
        pow(a_public, u * x, SUITE.n),
        a_public * g_to_b % SUITE.n,
        a_public * pow(g_to_b, u * x, SUITE.n) % SUITE.n,
    ]
    if exponent is not None:
        secrets.append(pow(g_to_b, exponent + u * x, SUITE.n))
    return [SUITE.session_key(secret) for secret in secrets]


def _confirms(transcript: Transcript, key: bytes) -> bool:
    """The two proofs, and the first message, each needs the right session key."""
    client_proof = SUITE.digest(
        SUITE.group_digest,
        SUITE.digest(transcript.username.encode()),
        transcript.salt,
        transcript.client_public,
        transcript.device_public,
        key,
    )
    device_proof = SUITE.digest(transcript.client_public, transcript.client_proof, key)
    try:
        AESGCM(key[:KEY_BYTES]).decrypt(transcript.nonce, transcript.ciphertext, None)
        opened = True
    except InvalidTag:
        opened = False
    return opened or client_proof == transcript.client_proof or device_proof == transcript.device_proof


def surviving(recorded: Sequence[Transcript], codes: Sequence[str], suite: Suite) -> dict[bool, set[str]]:
    """Codes for which g^b = B - k·v is a square in every session, and in none.

    Were g a square, each session would rule out half of the wrong codes.
    """
    return {
        outcome: {code for code in codes if all(_is_square(suite, found, code) is outcome for found in recorded)}
        for outcome in (False, True)
    }


def _is_square(suite: Suite, transcript: Transcript, code: str) -> bool:
    verifier = suite.verifier(transcript.username, code, transcript.salt)
    g_to_b = int.from_bytes(transcript.device_public, "big") - suite.multiplier * verifier
    return _jacobi(g_to_b % suite.n, suite.n) == 1


def _jacobi(number: int, modulus: int) -> int:
    """The Jacobi symbol; for a prime modulus it tells squares (1) from others (-1)."""
    sign = 1
    while number:
        twos = (number & -number).bit_length() - 1
        number >>= twos
        if twos % 2 and modulus % 8 in (3, 5):
            sign = -sign
        if number % 4 == modulus % 4 == 3:
            sign = -sign
        number, modulus = modulus % number, number
    return sign


class Dice:
    """Randomness that is remembered, so that the test knows the phone's exponents."""

    def __init__(self) -> None:
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(os.urandom(size))
        return self.drawn[-1]

    def exponents(self) -> list[int]:
        return [int.from_bytes(drawn, "big") | 1 << 255 for drawn in self.drawn if len(drawn) == 32]


async def test_a_recorded_session_confirms_no_code(world: World, owner: Path, tmp_path: Path) -> None:
    device = await world.unowned()
    code = await device.next_code()
    wire = Wire(world.stage.premises_socket)
    dice = Dice()
    async with wire.tapped(tmp_path / "air.sock"):
        await world.set_up(owner, code, socket=tmp_path / "air.sock", random=dice)
    recorded = transcripts(wire.overheard())
    assert recorded[0].username == code.username
    assert len(recorded) >= 2, "The phone resumed its transaction."
    codes = dictionary(code.pop)
    assert search(recorded[0], codes) == []

    exponent = next(
        drawn for drawn in dice.exponents() if SUITE.pad(SUITE.client_public(drawn)) == recorded[0].client_public
    )
    assert search(recorded[0], codes, exponent) == [code.pop], "The search does find a code, given the exponent."


async def test_many_sessions_of_one_code_rule_nothing_out(world: World, tmp_path: Path) -> None:
    device = await world.unowned()
    code = await device.next_code()
    wire = Wire(world.stage.premises_socket)
    async with wire.tapped(tmp_path / "air.sock"), world.guest(device, tmp_path / "air.sock") as phone:
        visit = await phone.enter(code.username, code.pop)
        answer = await visit.evidence(os.urandom(32))
        resume = crockford.encode(answer.transaction_id), crockford.encode(answer.resume_code)
        for _ in range(SESSIONS):
            await (await phone.enter(*resume)).status()
    recorded = [found for found in transcripts(wire.overheard()) if found.username == resume[0]]
    assert len(recorded) == SESSIONS
    codes = dictionary(resume[1])
    assert surviving(recorded, codes, SUITE) == {False: set(), True: set()}

    square = Suite(SUITE.n, SUITE.g**2, SUITE.hash_name)
    weak = [replace(found, device_public=_public_of(square, found, resume[1])) for found in recorded]
    assert surviving(weak, codes, square) == {False: set(), True: {resume[1]}}, "A weak group would tell the code."


def _public_of(suite: Suite, transcript: Transcript, code: str) -> bytes:
    verifier = suite.verifier(transcript.username, code, transcript.salt)
    return suite.pad(suite.server_public(int.from_bytes(os.urandom(32), "big"), verifier))


async def test_posing_as_the_device_tests_one_code_at_most(world: World, tmp_path: Path) -> None:
    """The attacker answers in the device's place, with a B of his own guess, and searches with the phone's M1."""
    device = await world.unowned()
    code = await device.next_code()
    codes = dictionary(code.pop)
    for guess, found in ((codes[0], []), (code.pop, [code.pop])):
        impostor = Impostor(guess)
        wire = Wire(world.stage.premises_socket, impostor.meddle)
        path = tmp_path / f"air-{len(found)}.sock"
        async with wire.tapped(path), world.guest(device, path) as phone:
            if found:
                await phone.enter(code.username, code.pop)
            else:
                with pytest.raises(InsecureDevice):
                    await phone.enter(code.username, code.pop)
        assert [candidate for candidate in codes if impostor.confirms(candidate)] == found


class Impostor:
    """Poses as the device, and guesses one code."""

    def __init__(self, guess: str) -> None:
        self._guess = guess
        self._handshake: ServerHandshake | None = None
        self._proof = b""

    async def meddle(self, request: Request, forward: Forward) -> Response:
        if request.endpoint != "prov-session":
            return await forward(request)
        command = session.decode_command(request.body)
        if isinstance(command, session.Command0):
            salt = b"\1" * 16
            self._handshake = ServerHandshake.start(
                SUITE,
                username=command.username,
                salt=salt,
                verifier=SUITE.verifier(command.username, self._guess, salt),
                client_public=command.client_public,
                random=os.urandom,
            )
            answer = session.Response0(Status.SUCCESS, self._handshake.server_public, salt)
            return Response(200, session.encode_response(answer), "1")
        assert isinstance(command, session.Command1)
        assert self._handshake is not None
        self._proof = command.client_proof
        proof = self._answer(self._handshake.verifier) or bytes(64)
        result = session.Response1(Status.SUCCESS, proof, os.urandom(8) + b"\0\0\0\1")
        return Response(200, session.encode_response(result))

    def confirms(self, code: str) -> bool:
        assert self._handshake is not None
        return self._answer(SUITE.verifier(self._handshake.username, code, self._handshake.salt)) is not None

    def _answer(self, verifier: int) -> bytes | None:
        assert self._handshake is not None
        try:
            return replace(self._handshake, verifier=verifier).finish(self._proof)[1]
        except AuthenticationFailed:
            return None


async def test_the_same_search_breaks_security_1() -> None:
    """Security 1 sends AES-CTR(X25519 secret XOR SHA-256(code), public key): who poses as the device, searches."""
    code = crockford.encode(os.urandom(CODE_BYTES))
    phone, impostor = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    shared = impostor.exchange(phone.public_key())
    nonce, public = os.urandom(16), impostor.public_key().public_bytes_raw()

    def verify_message(candidate: str) -> bytes:
        mask = sha256(candidate.encode()).digest()
        key = bytes(left ^ right for left, right in zip(shared, mask, strict=True))
        return Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update(public)

    sent = verify_message(code)
    assert [candidate for candidate in dictionary(code) if verify_message(candidate) == sent] == [code]
