"""Access tokens as signed JWTs (RFC 9068), bound by `cnf` to a key or a certificate."""

import hashlib
import json
import secrets
from collections import OrderedDict
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from admittance.errors import AuthenticationFailed
from admittance.server.access.model import AccessClaims, confirmation
from admittance.server.access.scopes import show_scope
from admittance.server.keys import jwt
from admittance.server.keys.port import TokenKeyRing

TYPE = "at+jwt"
MAX_TOKEN_CHARACTERS = 4096
_CHECKED = 4096
_FAILED = "The request is not authenticated."


class AccessTokens:
    """Signs and checks. `issuer` is the server's origin."""

    def __init__(self, *, issuer: str, keys: TokenKeyRing, ttl_s: int) -> None:
        self.issuer = issuer
        self._keys = keys
        self._ttl_s = ttl_s
        self._checked: OrderedDict[bytes, AccessClaims] = OrderedDict()

    def issue(
        self,
        *,
        subject: str,
        client_id: str,
        audience: str,
        scope: frozenset[str],
        session_id: str | None,
        jkt: str | None,
        x5t_s256: str | None,
        not_after: int | None,
        attested_until: int | None,
        now: float,
    ) -> tuple[str, int]:
        """A token and the seconds that it lives: never past `not_after` or the attestation.

        Raises `ConfigurationError` when there is no key to sign with.
        """
        issued_at = int(now)
        expires_at = issued_at + self._ttl_s
        for end in (not_after, attested_until):
            if end is not None:
                expires_at = min(expires_at, end)
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client_id,
            "scope": show_scope(scope),
            "iat": issued_at,
            "exp": expires_at,
            "jti": secrets.token_urlsafe(16),
        }
        if session_id is not None:
            claims["sid"] = session_id
        if cnf := confirmation(jkt, x5t_s256):
            claims["cnf"] = cnf
        if attested_until is not None:
            claims["attested_until"] = attested_until
        return jwt.signed(TYPE, claims, self._keys.signing(now)), expires_at - issued_at

    def verify(self, token: str, *, now: float) -> AccessClaims:
        """What a token of ours says that has not expired; who may use it where is the caller's to check.

        Raises `AuthenticationFailed`, whatever is wrong.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise AuthenticationFailed(_FAILED)
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._checked.get(digest)
        if claims is None:
            claims = self._open(token, now)
            self._checked[digest] = claims
            if len(self._checked) > _CHECKED:
                self._checked.popitem(last=False)
        if not claims.issued_at - _SKEW_S <= now < claims.expires_at:
            raise AuthenticationFailed(_FAILED)
        return claims

    def _open(self, token: str, now: float) -> AccessClaims:
        try:
            signed = jws.extract_compact(token.encode())
            header = signed.headers()
            keys = {key.kid: key.key for key in self._keys.published(now)}
            key = keys.get(str(header.get("kid")))
            if key is None or header.get("typ") != TYPE or "crit" in header:
                raise AuthenticationFailed(_FAILED)
            if not jws.validate_compact(signed, key, algorithms=["ES256"]):
                raise AuthenticationFailed(_FAILED)
            return self._claims(json.loads(signed.payload))
        except (JoseError, ValueError, KeyError, TypeError, RecursionError):
            raise AuthenticationFailed(_FAILED) from None

    def _claims(self, claims: dict[str, Any]) -> AccessClaims:
        if claims["iss"] != self.issuer:
            raise AuthenticationFailed(_FAILED)
        return AccessClaims(
            token_id=claims["jti"],
            subject=claims["sub"],
            client_id=claims["client_id"],
            audience=claims["aud"],
            scope=frozenset(claims["scope"].split()),
            issued_at=claims["iat"],
            expires_at=claims["exp"],
            session_id=claims.get("sid"),
            jkt=claims.get("cnf", {}).get("jkt"),
            x5t_s256=claims.get("cnf", {}).get("x5t#S256"),
            attested_until=claims.get("attested_until"),
        )


_SKEW_S = 60
