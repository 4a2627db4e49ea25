"""Who sends a request: the one gate that every people route goes through (RFC 9449, sections 7.1 and 8.2)."""

import hmac
from typing import Protocol
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from admittance.errors import AuthenticationFailed, NotAllowed, ScopeMissing
from admittance.server.accounts.dpop import ProofVerifier, VerifiedProof
from admittance.server.accounts.model import AuthenticatedAccount, LivingSession
from admittance.server.accounts.replays import ReplayCache
from admittance.server.clock import Clock
from admittance.server.database import Database

_FAILED = "The request is not authenticated."


class LivingSessions(Protocol):
    """Finds the login that an access token belongs to."""

    async def find(self, connection: AsyncConnection, access_token: str, *, now: float) -> AuthenticatedAccount:
        """Raises `AuthenticationFailed`: no token, or one that expired or whose login has ended."""
        ...

    async def living(self, connection: AsyncConnection, access_token: str, *, now: float) -> LivingSession:
        """The login itself, for who must hear when it ends. Raises `AuthenticationFailed`."""
        ...


class Authenticator:
    """Proves the sender of a request by its access token and its DPoP proof."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        sessions: LivingSessions,
        verifier: ProofVerifier,
        replays: ReplayCache,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sessions = sessions
        self._verifier = verifier
        self._replays = replays

    async def account(self, request: Request, *, scope: str) -> AuthenticatedAccount:
        """The account that sent `request`, by a login that it gave `scope`. The proof is spent by this call.

        Raises:
            NonceRequired: the proof needs the server's current nonce.
            AuthenticationFailed: no, an unknown or an ended token; or a proof that does not hold, was used before,
                or is by another key than the token's. All look the same.
            ScopeMissing: the login was given other scopes.
            Unavailable: the store of used proofs does not answer or is full.
        """
        account = await self._known(request)
        if scope not in account.scope:
            raise ScopeMissing(scope)
        return account

    async def operator(self, request: Request) -> AuthenticatedAccount:
        """Like `account`, for operators only, by a login with the scope `operate`.

        Raises:
            NotAllowed: the account is not an operator's, or its login has other scopes.
        """
        account = await self._known(request)
        if not account.operator:
            raise NotAllowed("Only an operator may do this.")
        return account

    async def _known(self, request: Request) -> AuthenticatedAccount:
        access_token = presented_token(request)
        now = self._clock()
        proof = proof_of(request, self._verifier, access_token=access_token, now=now)
        async with self._database.transaction() as connection:
            account = await self._sessions.find(connection, access_token, now=now)
            if not hmac.compare_digest(account.jkt, proof.jkt):
                raise AuthenticationFailed(_FAILED)
            await self._replays.spend(connection, proof, now)
        return account


def proof_of(request: Request, verifier: ProofVerifier, *, access_token: str | None, now: float) -> VerifiedProof:
    """The DPoP proof of a request, checked but not yet spent.

    Raises:
        NonceRequired: the proof needs the server's current nonce.
        AuthenticationFailed: none, several, or one that does not hold.
    """
    proofs = request.headers.getlist("dpop")
    if len(proofs) != 1:
        raise AuthenticationFailed(_FAILED)
    return verifier.verify(
        proofs[0], method=request.method, path=_encoded_path(request), access_token=access_token, now=now
    )


def presented_token(request: Request) -> str:
    """The token of `Authorization: DPoP …`.

    Raises:
        AuthenticationFailed: no such header, several, or another scheme.
    """
    headers = request.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "dpop" or not token:
        raise AuthenticationFailed(_FAILED)
    return token


def _encoded_path(request: Request) -> str:
    raw: bytes | None = request.scope.get("raw_path")
    return raw.decode("latin-1") if raw is not None else quote(request.scope["path"])
