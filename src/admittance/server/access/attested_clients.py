"""The mediator: lets attested clients prove themselves, and puts the attestation check into the server."""

import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import ClientAttestationRefused, ConfigurationError
from admittance.server.access.attestation import ALGORITHMS, CHALLENGE_LABEL, AttestationVerifier, claimed_client
from admittance.server.access.attester_keys import AttesterKeys, FetchedKeys, KeyFile
from admittance.server.access.client_authentication import ATTESTED, Method
from admittance.server.access.form import Parameters
from admittance.server.access.model import Claim, Client
from admittance.server.accounts.dpop import Nonces, VerifiedProof
from admittance.server.clock import Clock
from admittance.server.foundation import Foundation
from admittance.server.http import reply
from admittance.wire.integrity import ATTESTATION_HEADER, JWKS_PATH

CHALLENGE_PATH = "/oauth/challenge"


class AttestedClient:
    """``attest_jwt_client_auth_dpop``: the client's app is attested, and the attested key proves the request."""

    def __init__(self, verifier: AttestationVerifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock

    def claim(self, request: Request, _parameters: Parameters) -> Claim | None:
        return Claim(claimed_client(request.headers)) if ATTESTATION_HEADER in request.headers else None

    async def prove(
        self, request: Request, _claim: Claim, client: Client | None, proof: VerifiedProof | None
    ) -> int | None:
        if client is None or proof is None:
            raise ClientAttestationRefused("An attested app proves its key: send a DPoP proof.")
        return self._verifier.verify(request.headers, proof, client_id=client.client_id, now=self._clock()).expires_at


class ChallengeEndpoint:
    """Gives the challenge for attestations' own proofs, and a DPoP nonce (section 6.3 of the draft)."""

    def __init__(self, *, verifier: AttestationVerifier, nonces: Nonces, clock: Clock) -> None:
        self._verifier = verifier
        self._nonces = nonces
        self._clock = clock

    def routes(self) -> list[Route]:
        return [Route(CHALLENGE_PATH, self._challenge, methods=["POST"])]

    async def _challenge(self, _request: Request) -> Response:
        now = self._clock()
        content = {"attestation_challenge": self._verifier.challenge(now)}
        return reply(content, headers={"dpop-nonce": self._nonces.current(now)})


@dataclass(frozen=True)
class AttestationServices:
    """`methods` let clients prove themselves, `metadata` says so to them; `loops` run until the server stops."""

    verifier: AttestationVerifier
    methods: dict[str, Method]
    metadata: dict[str, Any]
    people_routes: tuple[Route, ...]
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def build(foundation: Foundation) -> AttestationServices | None:
    """The check of attestations as ``[integrity]`` says; None where no integrity service is trusted.

    Raises `ConfigurationError`.
    """
    config, clock = foundation.config, foundation.clock
    section = config.integrity
    if not section.issuer:
        return None
    keys: AttesterKeys
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
    if section.jwks_file:
        keys = KeyFile(config.path(section.jwks_file))
    else:
        ca_file = config.path(section.ca_file) if section.ca_file else None
        url = section.jwks_url or section.issuer + JWKS_PATH
        fetched = FetchedKeys(url, trust=_trust(ca_file), clock=clock)
        keys, loops = fetched, (fetched.run,)
    nonce_key = foundation.keystore.dpop_nonce_key
    verifier = AttestationVerifier(
        issuer=section.issuer,
        keys=keys,
        audience=config.server.origin,
        challenges=Nonces(nonce_key, CHALLENGE_LABEL),
    )
    endpoint = ChallengeEndpoint(verifier=verifier, nonces=Nonces(nonce_key), clock=clock)
    return AttestationServices(
        verifier=verifier,
        methods={ATTESTED: AttestedClient(verifier, clock)},
        metadata={
            "challenge_endpoint": config.server.origin + CHALLENGE_PATH,
            "client_attestation_signing_alg_values_supported": list(ALGORITHMS),
            "client_attestation_pop_signing_alg_values_supported": list(ALGORITHMS),
            "client_attestation_pop_methods_supported": ["dpop_combined", "none"],
        },
        people_routes=tuple(endpoint.routes()),
        loops=loops,
    )


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"[integrity] ca_file {ca_file}: {error.strerror or 'no certificate in PEM'}"
        ) from None
