"""Each DPoP proof is good once (RFC 9449, section 11.1): what was seen is kept in the shared database."""

import hashlib

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AuthenticationFailed, Unavailable
from admittance.server.accounts.dpop import PROOF_LIFETIME_S, VerifiedProof
from admittance.server.accounts.store import proofs_seen

KEPT_S = PROOF_LIFETIME_S + 60
"""A proof lives as long as its nonce; a minute more allows for clocks of nodes that differ."""

_RECOUNT_S = 1.0
_SPEND = insert(proofs_seen)


class ReplayCache:
    """Remembers (jkt, jti). Rows are dropped when no node would accept the proof's nonce any more.

    At most `max_proofs` are kept. When that many are alive, requests are refused rather than proofs forgotten.
    """

    def __init__(self, max_proofs: int = 100_000) -> None:
        self._max_proofs = max_proofs
        self._count = 0
        self._counted_at = float("-inf")

    async def spend(self, connection: AsyncConnection, proof: VerifiedProof, now: float) -> None:
        """Record a proof as used, in the caller's transaction.

        Raises:
            AuthenticationFailed: it was used before.
            Unavailable: the cache is full.
        """
        await self.spend_once(connection, f"{proof.jkt}.{proof.jti}", expires_at=int(now) + KEPT_S, now=now)

    async def spend_once(self, connection: AsyncConnection, name: str, *, expires_at: int, now: float) -> None:
        """Like `spend`, for another thing that is good once and for which nobody asks after `expires_at`."""
        if abs(now - self._counted_at) >= _RECOUNT_S:
            await self._recount(connection, now)
        if self._count >= self._max_proofs:
            raise Unavailable("Too many requests are being made. Try again in a minute.")
        digest = hashlib.sha256(name.encode()).digest()
        try:
            await connection.execute(_SPEND, {"digest": digest, "expires_at": expires_at})
        except IntegrityError as error:
            raise AuthenticationFailed("The request is not authenticated.") from error
        self._count += 1

    async def _recount(self, connection: AsyncConnection, now: float) -> None:
        await connection.execute(delete(proofs_seen).where(proofs_seen.c.expires_at <= int(now)))
        self._count = (await connection.execute(select(func.count()).select_from(proofs_seen))).scalar_one()
        self._counted_at = now
