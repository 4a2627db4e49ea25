"""``private_key_jwt``: a client proves itself by a short-lived, single-use JWT (RFC 7523, sections 2.2 and 3).

The audience must be the issuer alone, as one string: an assertion made for another server, or for several, is
refused (draft-ietf-oauth-rfc7523bis).
"""

import json
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request

from admittance.errors import AuthenticationFailed, InvalidClient
from admittance.server.access.client_authentication import ASSERTION_TYPE
from admittance.server.access.form import Parameters
from admittance.server.access.model import Claim, Client
from admittance.server.accounts.dpop import VerifiedProof
from admittance.server.accounts.replays import ReplayCache
from admittance.server.clock import Clock
from admittance.server.database import Database

ALGORITHMS = ("ES256", "Ed25519", "EdDSA")
MAX_LIFETIME_S = 300
_SKEW_S = 30
_MAX_CHARACTERS = 4096
_FAILED = "The client is unknown, or its authentication does not hold."


class PrivateKeyJwt:
    """Checks assertions. `issuer` is the server's origin."""

    def __init__(self, *, issuer: str, database: Database, clock: Clock, replays: ReplayCache) -> None:
        self._issuer = issuer
        self._database = database
        self._clock = clock
        self._replays = replays

    def claim(self, _request: Request, parameters: Parameters) -> Claim | None:
        if "client_assertion" not in parameters and "client_assertion_type" not in parameters:
            return None
        if parameters.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidClient(_FAILED)
        assertion = parameters.get("client_assertion", "")
        subject = _unverified(assertion).get("sub")
        if not isinstance(subject, str):
            raise InvalidClient(_FAILED)
        return Claim(subject, assertion)

    async def prove(
        self, _request: Request, claim: Claim, client: Client | None, _proof: VerifiedProof | None
    ) -> int | None:
        if client is None or client.keys is None:
            raise InvalidClient(_FAILED)
        claims = _verified(claim.shown, client.keys)
        now = int(self._clock())
        jti, expires_at = self._check(claims, client.client_id, now)
        try:
            async with self._database.transaction() as connection:
                await self._replays.spend_once(
                    connection, f"client-assertion|{client.client_id}|{jti}", expires_at=expires_at + _SKEW_S, now=now
                )
        except AuthenticationFailed:
            raise InvalidClient(_FAILED) from None
        return None

    def _check(self, claims: dict[str, Any], client_id: str, now: int) -> tuple[str, int]:
        jti, expires_at, not_before = claims.get("jti"), _time(claims.get("exp")), _time(claims.get("nbf", now))
        if claims.get("iss") != client_id or claims.get("sub") != client_id or claims.get("aud") != self._issuer:
            raise InvalidClient(_FAILED)
        if not isinstance(jti, str) or not 8 <= len(jti) <= 256:
            raise InvalidClient(_FAILED)
        if not now - _SKEW_S < expires_at <= now + MAX_LIFETIME_S + _SKEW_S or not_before > now + _SKEW_S:
            raise InvalidClient(_FAILED)
        return jti, expires_at


def _verified(assertion: str, keys: dict[str, Any]) -> dict[str, Any]:
    try:
        signed = jws.extract_compact(assertion.encode())
        header = signed.headers()
        if "crit" in header or header.get("alg") not in ALGORITHMS:
            raise InvalidClient(_FAILED)
        for key in KeySet.import_key_set(keys).keys:  # type: ignore[arg-type]
            if "kid" in header and key.kid is not None and key.kid != header["kid"]:
                continue
            if _holds(signed, key):
                claims = json.loads(signed.payload)
                if isinstance(claims, dict):
                    return claims
    except (JoseError, ValueError, TypeError, RecursionError):
        pass
    raise InvalidClient(_FAILED)


def _holds(signed: Any, key: Any) -> bool:
    try:
        return bool(jws.validate_compact(signed, key, algorithms=list(ALGORITHMS)))
    except (JoseError, ValueError, TypeError):
        return False


def _unverified(assertion: str) -> dict[str, Any]:
    """Whose keys to look for; nothing else rests on it."""
    if len(assertion) > _MAX_CHARACTERS or not assertion.isascii():
        raise InvalidClient(_FAILED)
    try:
        claims = json.loads(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError, RecursionError):
        raise InvalidClient(_FAILED) from None
    if not isinstance(claims, dict):
        raise InvalidClient(_FAILED)
    return claims


def _time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**40:
        raise InvalidClient(_FAILED)
    return int(value)
