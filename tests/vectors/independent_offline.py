"""The checks of `docs/protocol/offline.md`, written a second time with cbor2 and cryptography alone."""

import hmac
from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.vectors.independent import (
    TEXT,
    UINT,
    WORD,
    Refused,
    Vector,
    check_shape,
    check_sign1,
    parse,
    parse_sign1,
    require,
)

EPOCH_LIST = ("admittance/epoch-list/1", WORD, UINT, UINT, UINT)
STANDING = (UINT, UINT, (bytes, 16, 16))
SHAPES: dict[int, Any] = {
    1: TEXT,
    2: (str, 1, 64),
    3: TEXT,
    4: UINT,
    5: UINT,
    6: UINT,
    7: (bytes, 16, 16),
    9: (bytes, 1, 2048),
    39: (bytes, 1, 64),
    40: (int, 0, 2700),
    -65537: STANDING,
}
CONTENT, AGREEMENT = bytes.fromhex("a10101"), bytes.fromhex("a1013818")


def signed_payload(data: bytes, token_keys: list[str]) -> bytes:
    headers, message = parse_sign1(data)
    for spki in map(bytes.fromhex, token_keys):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(spki)
        if headers.get(4) == digest.finalize()[:8]:
            check_sign1(spki, headers, message, "SignatureInvalid")
            return bytes(message[2])
    raise Refused("SignatureInvalid")


def read_epoch_list(file: Vector, vector: Vector) -> None:
    check = file["check"]
    value = parse(signed_payload(bytes.fromhex(vector["list"]), check["token_keys"]))
    check_shape(value, EPOCH_LIST)
    require(value[1] == check["device_id"], "WrongDevice")


def verify_token(file: Vector, vector: Vector) -> bytes:
    """The master secret."""
    check = file["check"] | vector["check"]
    claims = parse(signed_payload(bytes.fromhex(vector["token"]), check["token_keys"]))
    check_claims(claims)
    require(claims[1] == check["issuer"], "WrongOrigin")
    require(claims[3] == check["audience"], "WrongDevice")
    epoch, sequence, _ = claims[-65537]
    require(epoch == check["epoch"], "WrongEpoch")
    require(sequence >= check["lowest_sequence"], "SequenceReplayed")
    key = decrypt(claims[8][2], int(check["access_key"], 16))
    require(key.keys() == {1, 2, -1} and key[1] == 4, "Malformed")
    require(key[2] == claims[7] and len(key[-1]) == 32, "Malformed")
    check_time(claims, check)
    return bytes(key[-1])


def check_claims(claims: Any) -> None:
    require(isinstance(claims, dict) and claims.keys() <= {*SHAPES, 8}, "Malformed")
    require(claims.keys() >= {1, 2, 3, 4, 5, 6, 7, 8, 9, -65537}, "Malformed")
    for label, shape in SHAPES.items():
        if label in claims:
            check_shape(claims[label], shape)
    for path, methods in parse(claims[9]):
        require(path.startswith("/") and 0 < methods < 32, "Malformed")
    require(claims[6] <= claims[5] < claims[4] <= claims[6] + 3600, "Malformed")
    require((39 in claims) == (40 in claims), "Malformed")
    require(list(claims[8]) == [2], "Malformed")


def decrypt(encrypted: Any, private: int) -> Any:
    protected, unprotected, ciphertext, ((recipient_protected, recipient, empty),) = encrypted
    require((protected, recipient_protected, empty) == (CONTENT, AGREEMENT, b""), "Malformed")
    ephemeral = recipient[-1]
    point = ec.EllipticCurvePublicNumbers(
        int.from_bytes(ephemeral[-2]), int.from_bytes(ephemeral[-3]), ec.SECP256R1()
    )
    shared = ec.derive_private_key(private, ec.SECP256R1()).exchange(ec.ECDH(), point.public_key())
    context = cbor2.dumps([1, [None] * 3, [None] * 3, [128, AGREEMENT]])
    key = HKDF(hashes.SHA256(), 16, None, context).derive(shared)
    try:
        plaintext = AESGCM(key).decrypt(unprotected[5], ciphertext, cbor2.dumps(["Encrypt", CONTENT, b""]))
    except InvalidTag as error:
        raise Refused("NotDecryptable") from error
    return parse(plaintext)


def check_time(claims: Any, check: Vector) -> None:
    if 40 in claims:
        first_seen = check["monotonic"] if check["first_seen_at"] is None else check["first_seen_at"]
        made_at, tag = claims[39][:4], claims[39][4:]
        expected = hmac.digest(bytes.fromhex(check["nonce_key"]), made_at, "sha256")[:12]
        require(tag == expected and 0 <= first_seen - int.from_bytes(made_at) <= 900, "WrongNonce")
        require(claims[-65537][1] > check["seen"], "Expired")
        require(check["monotonic"] < first_seen + claims[40], "Expired")
    now = max(check["unix"], claims[6])
    if check["trusted"]:
        require(now >= claims[5], "OutsideWindow")
    require(now < claims[4], "Expired")
    require(check["trusted"] or 40 in claims, "TimeUnknown")
