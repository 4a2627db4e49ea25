"""What clients may know of this server: metadata (RFC 8414) and the keys of its tokens (RFC 7517)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.server.access import rfc7523
from admittance.server.access.scopes import SCOPES
from admittance.server.clock import Clock
from admittance.server.http import public_reply
from admittance.server.keys.port import TokenKeyRing

METADATA_PATH = "/.well-known/oauth-authorization-server"
KEYS_PATH = "/oauth/keys"
KEYS_CACHED_S = 300
_DPOP_ALGORITHMS = ("ES256", "Ed25519", "EdDSA")


class Metadata:
    """`endpoints` maps names of RFC 8414, such as ``token_endpoint``, to paths; `further` are members as they are."""

    def __init__(
        self,
        *,
        issuer: str,
        keys: TokenKeyRing,
        clock: Clock,
        endpoints: dict[str, str],
        grants: tuple[str, ...],
        authentication: tuple[str, ...],
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._keys = keys
        self._clock = clock
        confidential = [name for name in authentication if name not in ("none", "attest_jwt_client_auth_dpop")]
        self._document: dict[str, Any] = {
            "issuer": issuer,
            **{name: issuer + path for name, path in endpoints.items()},
            "jwks_uri": issuer + KEYS_PATH,
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(grants),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "require_pushed_authorization_requests": False,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "dpop_signing_alg_values_supported": list(_DPOP_ALGORITHMS),
            "token_endpoint_auth_methods_supported": list(authentication),
            "token_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
            "revocation_endpoint_auth_methods_supported": list(authentication),
            "revocation_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
            "introspection_endpoint_auth_methods_supported": confidential,
            "introspection_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
            **further,
        }

    def routes(self) -> list[Route]:
        return [
            Route(METADATA_PATH, self._metadata, methods=["GET"]),
            Route(KEYS_PATH, self._key_set, methods=["GET"]),
        ]

    async def _metadata(self, _request: Request) -> Response:
        return public_reply(self._document, cached_s=KEYS_CACHED_S)

    async def _key_set(self, _request: Request) -> Response:
        published = self._keys.published(self._clock())
        keys = [{**key.key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": "ES256"} for key in published]
        return public_reply({"keys": keys}, cached_s=KEYS_CACHED_S)
