"""Challenges apps, judges their answers, and attests those that proved themselves."""

import asyncio
import hmac
import secrets

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, IntegrityRefused, Malformed, NotFound, Throttled
from admittance.server.accounts.dpop import VerifiedProof, thumbprint
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.integrity import store
from admittance.server.integrity.config import PolicySection
from admittance.server.integrity.keys import sign
from admittance.server.integrity.model import OpenChallenge, Release
from admittance.server.integrity.verifiers.port import Verifier
from admittance.server.keys.port import TokenKeyRing
from admittance.wire import base64url
from admittance.wire.integrity import (
    CHALLENGE_BYTES,
    NONCE_BYTES,
    AnswerRequest,
    Attested,
    Challenge,
    ChallengeRequest,
)

WATCHED_S = 600
MAX_NOT_ATTESTED = 10
MAX_A_MINUTE = 60
KEPT_S = 3600
_RANDOMNESS_BYTES = 32

log = structlog.stdlib.get_logger(__name__)


class IntegrityService:
    """`issuer` is the service's origin; `verifiers` are known by their names."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        issuer: str,
        policy: PolicySection,
        keys: TokenKeyRing,
        source_key: bytes,
        verifiers: dict[str, Verifier],
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._issuer = issuer
        self._policy = policy
        self._keys = keys
        self._source_key = source_key
        self._verifiers = verifiers

    async def challenge(self, request: ChallengeRequest, proof: VerifiedProof, source: str) -> Challenge:
        """A new challenge for the app whose key `proof` is by.

        Where one of the last ten minutes' challenges to `source` (a network address) led to no attestation, this one
        covers every byte: asking until the right bytes are not asked for gains nothing.

        Raises:
            AuthenticationFailed: the request names another key than the proof's.
            NotFound: there is no such release now.
            Throttled: too many challenges from this source, or too many that led to nothing.
        """
        jwk = msgspec.to_builtins(request.jwk)
        if not hmac.compare_digest(thumbprint(jwk), proof.jkt):
            raise AuthenticationFailed("The proof is by another key than the request names.")
        now = int(self._clock())
        asker = self._source(source)
        async with self._database.transaction() as connection:
            release = await store.find_release(connection, request.client_id, request.version)
            if release is None or release.retired_at is not None:
                raise NotFound(f"{request.client_id} {request.version} is no current release. Update the app.")
            await store.lock_source(connection, asker)
            open_or_failed = await store.not_attested_since(connection, asker, now - WATCHED_S)
            if len(open_or_failed) >= MAX_NOT_ATTESTED:
                raise Throttled(open_or_failed[-MAX_NOT_ATTESTED] + WATCHED_S - now + 1)
            if await store.issued_since(connection, asker, now - 60) >= MAX_A_MINUTE:
                raise Throttled(60)
            challenge = OpenChallenge(
                challenge=secrets.token_bytes(CHALLENGE_BYTES),
                client_id=release.client_id,
                version=release.version,
                jkt=proof.jkt,
                jwk=jwk,
                source=asker,
                randomness=secrets.token_bytes(_RANDOMNESS_BYTES),
                nonce=secrets.token_bytes(NONCE_BYTES),
                coverage_percent=100 if open_or_failed else self._policy.coverage_percent,
                issued_at=now,
                expires_at=now + self._policy.deadline_s,
            )
            await store.insert_challenge(connection, challenge)
        question = self._verifiers[release.verifier].question(release, challenge)
        return Challenge(
            challenge=base64url.encode(challenge.challenge),
            nonce=base64url.encode(challenge.nonce),
            deadline_s=self._policy.deadline_s,
            verifier=release.verifier,
            question=msgspec.Raw(msgspec.json.encode(question)),
        )

    async def answer(self, request: AnswerRequest, proof: VerifiedProof) -> Attested:
        """Judge the one answer that a challenge allows, and attest the app.

        The challenge is used up before its answer is looked at, so of several at once one is judged.

        Raises:
            IntegrityRefused: wrong, late or another's answer, or not the first; all look the same.
        """
        try:
            named = base64url.decode(request.challenge, length=CHALLENGE_BYTES)
        except Malformed:
            raise self._refused("malformed", proof) from None
        now = int(self._clock())
        async with self._database.transaction() as connection:
            challenge = await store.consume_challenge(connection, named, jkt=proof.jkt, now=now)
            cause = "" if challenge else await store.why_not(connection, named, jkt=proof.jkt)
            release = (
                await store.find_release(connection, challenge.client_id, challenge.version) if challenge else None
            )
        if challenge is None or release is None:
            raise self._refused(cause or "unknown", proof)
        try:
            await asyncio.to_thread(self._verifiers[release.verifier].verify, release, challenge, request.answers)
        except IntegrityRefused as error:
            async with self._database.transaction() as connection:
                await self._record(connection, challenge, error.cause)
            raise self._refused(error.cause, proof) from None
        return await self._attest(release, challenge)

    async def purge(self) -> int:
        """Forget challenges that count for nothing any more."""
        async with self._database.transaction() as connection:
            return await store.purge(connection, before=int(self._clock()) - KEPT_S)

    async def _attest(self, release: Release, challenge: OpenChallenge) -> Attested:
        now = int(self._clock())
        expires_at = now + self._policy.attestation_ttl_s
        claims = {
            "iss": self._issuer,
            "sub": challenge.client_id,
            "iat": now,
            "exp": expires_at,
            "cnf": {"jwk": challenge.jwk},
            "release": challenge.version,
            "verifier": release.verifier,
        }
        attestation = sign(self._keys.signing(now), claims)
        async with self._database.transaction() as connection:
            current = await store.set_attested(connection, challenge, now=now)
            await self._record(connection, challenge, "" if current else "retired")
        if not current:
            raise IntegrityRefused("retired")
        return Attested(attestation=attestation, expires_at=expires_at)

    async def _record(self, connection: AsyncConnection, challenge: OpenChallenge, cause: str) -> None:
        await self._audit.append(
            connection,
            event="integrity_refused" if cause else "integrity_attested",
            actor=f"app:{challenge.client_id}",
            subject=f"app:{challenge.client_id}",
            details={
                "version": challenge.version,
                "jkt": challenge.jkt,
                "coverage_percent": challenge.coverage_percent,
                **({"cause": cause} if cause else {}),
            },
            now=self._clock(),
        )

    def _refused(self, cause: str, proof: VerifiedProof) -> IntegrityRefused:
        log.info("integrity_refused", cause=cause, jkt=proof.jkt)
        return IntegrityRefused(cause)

    def _source(self, source: str) -> bytes:
        return hmac.digest(self._source_key, f"admittance/integrity-source/1|{source}".encode(), "sha256")
