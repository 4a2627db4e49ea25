"""The service's HTTPS routes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from admittance.server.accounts.authenticate import proof_of
from admittance.server.accounts.dpop import ProofVerifier
from admittance.server.accounts.throttle import source_of
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.http import body, public_reply, reply
from admittance.server.integrity.keys import key_set
from admittance.server.integrity.service import IntegrityService
from admittance.server.keys.port import TokenKeyRing
from admittance.wire.integrity import (
    ANSWERS_PATH,
    CHALLENGES_PATH,
    JWKS_PATH,
    METADATA_PATH,
    AnswerRequest,
    ChallengeRequest,
)

_CACHED_S = 300


def routes(
    *,
    service: IntegrityService,
    proofs: ProofVerifier,
    keys: TokenKeyRing,
    database: Database,
    clock: Clock,
    origin: str,
    verifiers: tuple[str, ...],
) -> list[BaseRoute]:
    """Challenges and answers, what verifiers of attestations need to know, and ``/healthz``."""
    metadata = {
        "issuer": origin,
        "jwks_uri": origin + JWKS_PATH,
        "challenge_endpoint": origin + CHALLENGES_PATH,
        "answer_endpoint": origin + ANSWERS_PATH,
        "attestation_signing_alg_values_supported": ["ES256"],
        "verifiers_supported": verifiers,
    }

    async def challenge(request: Request) -> Response:
        proof = proof_of(request, proofs, access_token=None, now=clock())
        asked = await body(request, ChallengeRequest)
        return reply(await service.challenge(asked, proof, source_of(request)), 201)

    async def answer(request: Request) -> Response:
        proof = proof_of(request, proofs, access_token=None, now=clock())
        return reply(await service.answer(await body(request, AnswerRequest), proof))

    async def jwks(_request: Request) -> Response:
        return public_reply(key_set(keys, clock()), cached_s=_CACHED_S)

    async def well_known(_request: Request) -> Response:
        return public_reply(metadata, cached_s=_CACHED_S)

    async def healthz(_request: Request) -> Response:
        async with database.read():
            return reply({"status": "ok"})

    return [
        Route(CHALLENGES_PATH, challenge, methods=["POST"]),
        Route(ANSWERS_PATH, answer, methods=["POST"]),
        Route(JWKS_PATH, jwks, methods=["GET"]),
        Route(METADATA_PATH, well_known, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
    ]
