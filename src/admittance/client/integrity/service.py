"""The integrity service, as an async client."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from admittance.client.api_problems import error_of, network_failure
from admittance.client.dpop import DpopKey
from admittance.errors import Malformed, NetworkFailure, NonceRequired
from admittance.measuring.folder import AppFolder
from admittance.protocol.integrity.answers import Subject, compute
from admittance.protocol.integrity.files import FileRange
from admittance.wire import base64url
from admittance.wire.integrity import (
    ANSWERS_PATH,
    CHALLENGE_BYTES,
    CHALLENGES_PATH,
    NONCE_BYTES,
    AnswerRequest,
    Attested,
    Challenge,
    ChallengeRequest,
    MeasuredFilesAnswers,
    MeasuredFilesQuestion,
    PublicKey,
)

TIMEOUT_S = 30.0
_NONCE_TRIES = 2
_VERIFIER = "measured_files"

M = TypeVar("M", bound=msgspec.Struct)


class IntegrityClient:
    """One app instance's connection to the integrity service at `origin`; use it as an async context manager.

    `key` is what the attestation is bound to. Every method raises `NetworkFailure`, `Unavailable`, the `Refused`
    error that the service names, or `Malformed` for an answer that is no answer. `trust` is the TLS context, unused
    when `transport` is given.
    """

    def __init__(
        self,
        origin: str,
        *,
        key: DpopKey,
        trust: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.origin = origin
        self._key = key
        self._clock = clock
        self._nonce: str | None = None
        self._http = httpx.AsyncClient(
            transport=transport, verify=trust or True, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def attest(self, *, client_id: str, version: str, folder: Path) -> Attested:
        """Answer a challenge over the app in `folder`.

        Raises:
            IntegrityRefused: the service says that this is not the untampered app.
            ConfigurationError: the folder can't be read.
        """
        app = AppFolder(folder)
        listing = app.listing()
        challenge = await self.challenge(client_id=client_id, version=version)
        if challenge.verifier != _VERIFIER:
            raise Malformed(f"This app can't answer a challenge of the kind {challenge.verifier!r}.")
        own = {file.path for file in listing}
        answer = compute(
            Subject(
                challenge=base64url.decode(challenge.challenge, length=CHALLENGE_BYTES),
                nonce=base64url.decode(challenge.nonce, length=NONCE_BYTES),
                client_id=client_id,
                version=version,
                jkt=self._key.jkt,
            ),
            listing=listing,
            ranges=ranges_of(challenge),
            read=lambda part: app.read(part) if part.path in own else b"",
        )
        return await self.answer(challenge.challenge, answer)

    async def challenge(self, *, client_id: str, version: str) -> Challenge:
        jwk = msgspec.convert(self._key.public_jwk, PublicKey)
        request = ChallengeRequest(client_id=client_id, version=version, jwk=jwk)
        return await self._ask(CHALLENGES_PATH, request, Challenge)

    async def answer(self, challenge: str, answer: bytes) -> Attested:
        answers = msgspec.json.encode(MeasuredFilesAnswers(mac=base64url.encode(answer)))
        request = AnswerRequest(challenge=challenge, answers=msgspec.Raw(answers))
        return await self._ask(ANSWERS_PATH, request, Attested)

    async def _ask(self, path: str, content: msgspec.Struct, into: type[M]) -> M:
        for _attempt in range(_NONCE_TRIES):
            response = await self._send(path, msgspec.json.encode(content))
            self._nonce = response.headers.get("dpop-nonce", self._nonce)
            if response.is_success:
                return decoded(response.content, into)
            error = error_of(response)
            if not isinstance(error, NonceRequired):
                raise error
        raise NetworkFailure("clock", "The integrity service does not take its own nonce. Is this clock right?")

    async def _send(self, path: str, content: bytes) -> httpx.Response:
        uri = self.origin + path
        proof = self._key.proof(method="POST", uri=uri, now=self._clock(), nonce=self._nonce, access_token=None)
        headers = {"dpop": proof, "content-type": "application/json", "accept": "application/json"}
        try:
            return await self._http.post(uri, content=content, headers=headers)
        except httpx.TransportError as error:
            raise network_failure(self.origin, error) from error


def ranges_of(challenge: Challenge) -> tuple[FileRange, ...]:
    """The ranges that a challenge of measured files asks for, in its order. Raises `Malformed`."""
    question = decoded(challenge.question, MeasuredFilesQuestion)
    return tuple(FileRange(file.path, offset, length) for file in question.files for offset, length in file.ranges)


def decoded(content: bytes | msgspec.Raw, into: type[M]) -> M:
    try:
        return msgspec.json.decode(content, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed("The integrity service's answer is not as expected.") from None
