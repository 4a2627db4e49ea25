"""Offline tokens as JWTs: the same claims, with the key as a JWE in ``cnf`` (RFC 7800, section 3.3)."""

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey
from msgspec import json

from admittance.errors import KeyRefused
from admittance.protocol.access.offline_token import OfflineGrant
from admittance.protocol.signing import load_public_key, spki_of
from admittance.server.grants.actions import actions_of
from admittance.wire import base64url
from admittance.wire.channel import kid_of

TYPE: Final = "admittance-device+jwt"
"""The ``typ`` (RFC 8725, section 3.11): no resource server takes it for an access token of its own."""


def encode_jwt(grant: OfflineGrant, master_secret: bytes, key: ec.EllipticCurvePrivateKey, access_spki: bytes) -> str:
    """The token, signed with ES256; its key is encrypted by ECDH-ES and A128GCM.

    Raises `KeyRefused` if the device's access key is none.
    """
    signing = ECKey.import_key(key)
    possession = OctKey.import_key(master_secret, {"kid": base64url.encode(grant.token)})
    public = load_public_key(access_spki)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyRefused("An access key is a P-256 key.")
    encrypted = jwe.encrypt_compact(
        {"alg": "ECDH-ES", "enc": "A128GCM", "cty": "jwk+json"},
        json.encode(possession.as_dict(private=True)),
        ECKey.import_key(public),
    )
    claims: dict[str, Any] = {
        "iss": grant.issuer,
        "sub": grant.name,
        "aud": grant.audience,
        "exp": grant.expires_at,
        "nbf": grant.not_before,
        "iat": grant.issued_at,
        "jti": base64url.encode(grant.token),
        "scope": " ".join(action.replace(" ", ":", 1) for action in actions_of(grant.scope)),
        "cnf": {"jwe": encrypted},
        "epoch": grant.standing.epoch,
        "sequence": grant.standing.sequence,
        "grant": base64url.encode(grant.standing.grant),
    }
    if grant.exi_s is not None:
        claims |= {"cnonce": base64url.encode(grant.cnonce), "exi": grant.exi_s}
    header = {"typ": TYPE, "alg": "ES256", "kid": base64url.encode(kid_of(spki_of(key.public_key())))}
    return jwt.encode(header, claims, signing)
