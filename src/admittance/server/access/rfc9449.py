"""DPoP at the authorization server (RFC 9449, sections 5 and 8): which key a client's tokens are bound to."""

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from admittance.errors import AuthenticationFailed, InvalidDpopProof, NonceRequired
from admittance.server.accounts.authenticate import proof_of
from admittance.server.accounts.dpop import ProofVerifier, VerifiedProof
from admittance.server.accounts.replays import ReplayCache
from admittance.server.clock import Clock

_FAILED = "The DPoP proof does not hold or was used before."


class Proofs:
    """Checks the proofs of requests that carry no access token, and spends them."""

    def __init__(self, *, verifier: ProofVerifier, replays: ReplayCache, clock: Clock) -> None:
        self._verifier = verifier
        self._replays = replays
        self._clock = clock

    def optional(self, request: Request) -> VerifiedProof | None:
        """The proof of a request, None where there is none. Raises `NonceRequired` or `InvalidDpopProof`."""
        if "dpop" not in request.headers:
            return None
        try:
            return proof_of(request, self._verifier, access_token=None, now=self._clock())
        except NonceRequired:
            raise
        except AuthenticationFailed:
            raise InvalidDpopProof(_FAILED) from None

    def present(self, proof: VerifiedProof | None) -> VerifiedProof:
        """A proof where one must be. Raises `InvalidDpopProof`."""
        if proof is None:
            raise InvalidDpopProof("A public client must prove a key: send a DPoP proof.")
        return proof

    def required(self, request: Request) -> VerifiedProof:
        """As `optional`, where a proof must be."""
        return self.present(self.optional(request))

    async def spend(self, connection: AsyncConnection, proof: VerifiedProof | None, now: float) -> None:
        """Use a proof up in the caller's transaction. Raises `InvalidDpopProof` or `Unavailable`."""
        if proof is None:
            return
        try:
            await self._replays.spend(connection, proof, now)
        except AuthenticationFailed:
            raise InvalidDpopProof(_FAILED) from None
