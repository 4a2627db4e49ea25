"""`docs/protocol/possession.md` written a second time with cbor2 and cryptography alone, as `independent` is."""

from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.vectors.independent import Refused, Vector, require

AES_CCM_16_64_128 = 10
SIZES = {1: (1, 4096), 40: (8, 32), 42: (8, 32), 43: (0, 7), 44: (0, 7)}
PUT, URI_PATH = 3, 11


def open_request(file: Vector, vector: Vector) -> None:
    """From shares and authz-info to the order."""
    check = file["check"] | vector["check"]
    asked = parameters(bytes.fromhex(check["request"]), {1, 40, 43})
    require(asked[1].hex() == check["token"], "NotFound")
    answered = parameters(bytes.fromhex(check["answer"]), {42, 44})
    shares = bytes.fromhex(check["client_share"]) + bytes.fromhex(check["server_share"])
    grant = bytes.fromhex(check["grant"])
    named = cbor2.dumps(["admittance/possession-key/1", check["device_id"], check["client"], grant])
    secret = derived(shares, None, named, 32)
    salt = b"".join(cbor2.dumps(each) for each in (b"", asked[40], answered[42]))
    option = bytes.fromhex(vector["option"])
    length = option[0] & 0x07
    partial_iv, kid = option[1 : 1 + length], option[1 + length :]
    require(option[0] & 0x08 != 0 and kid == answered[44], "DecryptionFailed")
    plaintext = decrypted(secret, salt, kid, partial_iv, bytes.fromhex(vector["payload"]))
    expected = bytes((PUT, URI_PATH << 4 | 4)) + b"lock" + b"\xff" + bytes.fromhex(file["order"])
    require(plaintext == expected, "another order")


def parameters(data: bytes, labels: set[int]) -> dict[int, bytes]:
    """A map with exactly these labels, and byte strings of their sizes."""
    try:
        values: Any = cbor2.loads(data)
    except cbor2.CBORDecodeError as error:
        raise Refused("Malformed") from error
    require(isinstance(values, dict) and set(values) == labels, "Malformed")
    require(cbor2.dumps(values, canonical=True) == data, "Malformed")
    for label, value in values.items():
        least, most = SIZES[label]
        require(isinstance(value, bytes) and least <= len(value) <= most, "Malformed")
    return dict(values)


def decrypted(secret: bytes, salt: bytes, kid: bytes, partial_iv: bytes, ciphertext: bytes) -> bytes:
    """RFC 8613, sections 3.2, 5.2, 5.3 and 5.4."""
    key = derived(secret, salt, cbor2.dumps([kid, None, AES_CCM_16_64_128, "Key", 16]), 16)
    common_iv = derived(secret, salt, cbor2.dumps([b"", None, AES_CCM_16_64_128, "IV", 13]), 13)
    padded = bytes((len(kid),)) + kid.rjust(7, b"\0") + partial_iv.rjust(5, b"\0")
    nonce = bytes(left ^ right for left, right in zip(padded, common_iv, strict=True))
    external = cbor2.dumps([1, [AES_CCM_16_64_128], kid, partial_iv, b""])
    try:
        return AESCCM(key, tag_length=8).decrypt(nonce, ciphertext, cbor2.dumps(["Encrypt0", b"", external]))
    except InvalidTag as error:
        raise Refused("DecryptionFailed") from error


def derived(secret: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)
