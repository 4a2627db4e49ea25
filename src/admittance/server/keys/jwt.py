"""JWTs under a token key, in JWS Compact Serialization (RFC 7515, section 3.1).

joserfc checks header, key and algorithm anew for each JWT, which takes half as long as the signature. Here one key,
one algorithm and one header go together for good, so the header is encoded once; joserfc reads the result.
"""

from functools import lru_cache
from typing import Any

import msgspec

from admittance.server.keys.port import TokenKey
from admittance.wire import base64url

_HEADERS = 32


def signed(token_type: str, claims: dict[str, Any], key: TokenKey) -> str:
    """A JWT of these claims; `token_type` is its `typ`.

    COSE's encoding of a signature, which `Signer` makes, is JWS's for ES256 (RFC 7518, section 3.4).
    """
    signing_input = f"{_header(token_type, key.kid)}.{base64url.encode(msgspec.json.encode(claims))}"
    return f"{signing_input}.{base64url.encode(key.signer.sign(signing_input.encode()))}"


@lru_cache(_HEADERS)
def _header(token_type: str, kid: str) -> str:
    return base64url.encode(msgspec.json.encode({"typ": token_type, "alg": "ES256", "kid": kid}))
