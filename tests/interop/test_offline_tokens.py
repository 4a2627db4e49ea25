"""Offline tokens in other people's libraries: pycose opens the CWT and the key inside, PyJWT and jwcrypto the JWT."""

import json
import os
import time

import cbor2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwe, jwk
from jwcrypto import jwt as jwcrypto_jwt
from pycose.keys import EC2Key
from pycose.messages import EncMessage, Sign1Message

from admittance.protocol.access.offline_token import OfflineGrant, issue
from admittance.protocol.signing import SoftwareSigner, spki_of
from admittance.server.grants.offline_jwt import TYPE, encode_jwt
from admittance.wire import base64url
from admittance.wire.channel import GET, PUT, Permission
from admittance.wire.cwt import OfflineStanding

AUDIENCE = "https://admit.example/d/ADJBSWY3DPEHPK3PXPJBSW"
SECRET = os.urandom(32)


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def access_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def grant() -> OfflineGrant:
    now = int(time.time())
    return OfflineGrant(
        issuer="https://admit.example",
        audience=AUDIENCE,
        token=os.urandom(16),
        name="guest",
        standing=OfflineStanding(3, 7, os.urandom(16)),
        scope=(Permission("/measurements", GET), Permission("/alarm", GET | PUT)),
        issued_at=now,
        not_before=now,
        expires_at=now + 600,
        cnonce=os.urandom(16),
        exi_s=600,
    )


def cose_key(private: ec.EllipticCurvePrivateKey, *, secret: bool = False) -> EC2Key:
    numbers = private.public_key().public_numbers()
    d = private.private_numbers().private_value.to_bytes(32) if secret else b""
    return EC2Key(crv="P_256", x=numbers.x.to_bytes(32), y=numbers.y.to_bytes(32), d=d)


def test_pycose_verifies_the_token_and_opens_its_key(
    key: ec.EllipticCurvePrivateKey, access_key: ec.EllipticCurvePrivateKey, grant: OfflineGrant
) -> None:
    token = issue(
        grant,
        SECRET,
        SoftwareSigner(key),
        spki_of(access_key.public_key()),
        ephemeral=ec.generate_private_key(ec.SECP256R1()),
        nonce=os.urandom(12),
    )
    signed = Sign1Message.from_cose_obj(cbor2.loads(token), allow_unknown_attributes=True)
    signed.key = cose_key(key)
    assert signed.verify_signature()
    claims = cbor2.loads(signed.payload)
    assert (claims[3], claims[7], claims[39], claims[40]) == (AUDIENCE, grant.token, grant.cnonce, 600)
    encrypted = EncMessage.from_cose_obj(claims[8][2], allow_unknown_attributes=True)
    (recipient,) = encrypted.recipients
    recipient.key = cose_key(access_key, secret=True)
    assert cbor2.loads(encrypted.decrypt(recipient)) == {1: 4, 2: grant.token, -1: SECRET}


@pytest.fixture
def token(key: ec.EllipticCurvePrivateKey, access_key: ec.EllipticCurvePrivateKey, grant: OfflineGrant) -> str:
    return encode_jwt(grant, SECRET, key, spki_of(access_key.public_key()))


def test_pyjwt_verifies_the_token(token: str, key: ec.EllipticCurvePrivateKey, grant: OfflineGrant) -> None:
    assert jwt.get_unverified_header(token)["typ"] == TYPE
    claims = jwt.decode(token, key.public_key(), ["ES256"], audience=AUDIENCE, issuer="https://admit.example")
    assert claims["scope"] == "GET:/measurements GET:/alarm PUT:/alarm"
    assert (claims["epoch"], claims["sequence"], claims["exi"]) == (3, 7, 600)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key.public_key(), ["ES256"], audience="https://admit.example/d/another")


def test_jwcrypto_verifies_the_token_and_opens_its_key(
    token: str, key: ec.EllipticCurvePrivateKey, access_key: ec.EllipticCurvePrivateKey, grant: OfflineGrant
) -> None:
    verified = jwcrypto_jwt.JWT(jwt=token, key=jwk.JWK.from_pyca(key.public_key()))
    opened = jwe.JWE()
    opened.deserialize(json.loads(verified.claims)["cnf"]["jwe"], jwk.JWK.from_pyca(access_key))
    possession = json.loads(opened.payload)
    assert possession == {"kty": "oct", "k": base64url.encode(SECRET), "kid": base64url.encode(grant.token)}
