"""An integrity service's key, and what it signs."""

import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from admittance.client.dpop import DpopKey
from admittance.wire.integrity import ATTESTATION_TYPE

ISSUER = "https://integrity.test"


class Attester:
    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")
        self.kid = self.key.thumbprint()

    @property
    def key_set(self) -> dict[str, Any]:
        return {"keys": [{**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}]}

    def attest(
        self,
        app: DpopKey,
        *,
        now: float,
        client_id: str = "door-app",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """An attestation for `app`; claims that are None are left out."""
        made = {
            "iss": ISSUER,
            "sub": client_id,
            "iat": int(now),
            "exp": int(now) + 900,
            "cnf": {"jwk": app.public_jwk},
            "release": "1.0",
        } | claims
        content = {name: value for name, value in made.items() if value is not None}
        return sign(self.key, {"typ": ATTESTATION_TYPE, "alg": "ES256", "kid": self.kid} | (header or {}), content)


def sign(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jws.serialize_compact(header, json.dumps(claims), key, algorithms=["ES256", "ES384", "HS256"])
