"""RFC 8392, appendix A.1 (claims) and A.3 (signed), and what its smallest changes are refused as."""

import json
from pathlib import Path

import pytest

from admittance.errors import SignatureInvalid
from admittance.protocol.signing import load_public_key, verify1
from admittance.wire import cose, cwt
from admittance.wire.cose_key import PublicCoseKey, from_map

VECTOR = json.loads((Path(__file__).parent / "cwt_rfc8392.json").read_text())
CLAIMS = cwt.Claims(
    issuer="coap://as.example.com",
    subject="erikw",
    audience="coap://light.example.com",
    expires_at=1444064944,
    not_before=1443944944,
    issued_at=1443944944,
    cti=bytes.fromhex("0b71"),
)


def spki() -> bytes:
    key = VECTOR["key"]
    kid, x, y = (bytes.fromhex(key[name]) for name in ("kid", "x", "y"))
    found = from_map({1: 2, 2: kid, -1: 1, -2: x, -3: y})
    assert isinstance(found, PublicCoseKey)
    assert found.kid == kid
    return found.spki


def test_the_claims_set() -> None:
    data = bytes.fromhex(VECTOR["claims"])
    assert cwt.decode(data) == CLAIMS
    assert cwt.encode(CLAIMS) == data


def test_the_signed_token() -> None:
    signed = cose.Sign1.decode(bytes.fromhex(VECTOR["signed"]))
    assert signed.unprotected[cose.KID] == bytes.fromhex(VECTOR["key"]["kid"])
    assert cwt.decode(verify1(signed, load_public_key(spki()))) == CLAIMS


@pytest.mark.parametrize("at", [-1, -64, 30, 40, 100])
def test_a_changed_token_is_refused(at: int) -> None:
    data = bytearray.fromhex(VECTOR["signed"])
    data[at] ^= 1
    with pytest.raises(SignatureInvalid):
        verify1(cose.Sign1.decode(bytes(data)), load_public_key(spki()))
