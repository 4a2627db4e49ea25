"""The checks of `docs/protocol/`, written a second time with cbor2 and cryptography alone.

Nothing of `admittance` is imported here. Each function returns normally for a good vector and raises `Refused` with
the name of the expected class for another.
"""

import base64
import hashlib
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

Vector = dict[str, Any]


class Refused(Exception):
    """A message that must be refused, with the name of the class."""


def require(condition: bool, failure: str) -> None:
    if not condition:
        raise Refused(failure)


# The shape of each message: a type, or (type, smallest, largest) for integers and sizes.
UINT, BYTES16, BYTES32, WORD, TEXT = (int, 0, 2**53), (bytes, 16, 16), (bytes, 32, 32), (str, 0, 64), (str, 0, 512)
HEADER = ("admittance/sealed/1", ("activate", "reprovision"), WORD, UINT, BYTES32, UINT, UINT, BYTES16)
CONFIGURATION = (
    "admittance/configuration/1",
    TEXT,
    TEXT,
    TEXT,
    (list, 1, 4),
    UINT,
    (bytes, 0, 32),
    (bytes, 0, 512),
    (list, 0, 8),
    UINT,
    (list, 0, 4),
    (bytes, 0, 91),
    (list, 0, 2),
)
EVIDENCE = (
    "admittance/evidence/1",
    TEXT,
    BYTES32,
    WORD,
    BYTES32,
    ("display", "button", "resume"),
    UINT,
    BYTES16,
    UINT,
    UINT,
    {
        "seal_algorithm": ("hybrid", "classic", "symmetric"),
        "seal": (bytes, 0, 1600),
        "channel": (bytes, 0, 200),
        "access": (bytes, 0, 200),
    },
    {"model": WORD, "firmware": WORD, "resets": UINT},
)
ENROLMENT = (
    "admittance/enrolment/1",
    BYTES32,
    WORD,
    UINT,
    (bytes, 0, 32),
    (bytes, 0, 4096),
    {None: (BYTES16, BYTES32)},
    {None: (("code", "totp", "sms", "approval"), WORD)},
)
RESET = ("admittance/reset/1", BYTES32, WORD, UINT, UINT)
ENVELOPE = ((bytes, 0, 512), ("hybrid", "classic", "symmetric"), (bytes, 0, 8192))
NETWORK = ((str, 1, 32), (str, 0, 64))


def parse(data: bytes) -> Any:
    """CBOR that is its own deterministic encoding (length-first key order is the same for the keys that we use)."""
    try:
        value = cbor2.loads(data)
        same = cbor2.dumps(value, canonical=True) == data
    except Exception as error:
        raise Refused("Malformed") from error
    require(same, "Malformed")
    return value


def shaped(data: bytes, shape: tuple[Any, ...]) -> list[Any]:
    value = parse(data)
    check_shape(value, shape)
    return list(value)


def check_shape(value: Any, shape: Any) -> None:
    if isinstance(shape, str):
        require(value == shape, "Malformed")
    elif isinstance(shape, dict) and None in shape:
        if value is not None:
            check_shape(value, shape[None])
    elif isinstance(shape, dict):
        require(isinstance(value, dict) and value.keys() == shape.keys(), "Malformed")
        for key, part in shape.items():
            check_shape(value[key], part)
    elif all(isinstance(choice, str) for choice in shape):
        require(value in shape, "Malformed")
    elif isinstance(shape[0], type):
        kind, smallest, largest = shape
        require(isinstance(value, kind) and not isinstance(value, bool), "Malformed")
        require(smallest <= (value if kind is int else len(value)) <= largest, "Malformed")
    else:
        require(isinstance(value, list) and len(value) == len(shape), "Malformed")
        for item, part in zip(value, shape, strict=True):
            check_shape(item, part)


def parse_sign1(data: bytes) -> tuple[dict[int, Any], list[Any]]:
    value = parse(data)
    require(isinstance(value, list) and len(value) == 4, "Malformed")
    return parse(value[0]), value


def check_sign1(spki: bytes, headers: dict[int, Any], value: list[Any], failure: str) -> None:
    key: Any = load_der_public_key(spki)
    data = cbor2.dumps(["Signature1", value[0], b"", value[2]], canonical=True)
    signature = value[3]
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            require(headers[1] == -8, failure)
            key.verify(signature, data)
            return
        require(headers[1] == -7 and len(signature) == 64 and key.curve.name == "secp256r1", failure)
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Refused(failure) from error


def spki_of(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def device_id(spki: bytes) -> str:
    return "AD" + base64.b32encode(hashlib.sha256(spki).digest()).decode()[:20]


# ---------------------------------------------------------------- sealed configurations


def open_sealed(file: Vector, vector: Vector) -> bytes:
    """The encoded configuration."""
    headers, value = parse_sign1(bytes.fromhex(vector["sealed"]))
    chain = headers.get(33, [])
    check_signer(chain, file["root_spki_sha256"])
    check_sign1(
        spki_of(x509.load_der_x509_certificate(chain[0]).public_key()), headers, value, failure="UntrustedSigner"
    )
    header_bytes, algorithm, ciphertext = shaped(value[2], ENVELOPE)
    _, purpose, device, epoch, thumbprint, sequence, lifetime, nonce = shaped(header_bytes, HEADER)
    require(thumbprint == hashlib.sha256(chain[0]).digest(), "UntrustedSigner")
    expected = file["expectation"] | vector["expectation"]
    require(device == expected["device_id"], "WrongDevice")
    require(purpose in expected["purposes"], "WrongPurpose")
    require(epoch > expected["epoch"] if purpose == "activate" else epoch >= expected["epoch"], "WrongEpoch")
    require(nonce.hex() == expected["device_nonce"], "WrongNonce")
    require(sequence > expected["last_sequence"], "SequenceReplayed")
    require(expected["elapsed_s"] <= lifetime, "ConfigurationExpired")
    require(algorithm == vector["seal_key"], "NotDecryptable")
    key = bytes.fromhex(file["seal_keys"][algorithm])
    plaintext = decrypt_sealed(algorithm, key, ciphertext, header_bytes)
    configuration = shaped(plaintext, CONFIGURATION)
    require(len(configuration[6]) in (0, 32) and not 0 < len(configuration[7]) <= 32, "Malformed")
    require(len(configuration[11]) in (0, 91), "Malformed")
    require(all(len(key) == 91 for key in configuration[12]), "Malformed")
    return plaintext


def check_signer(chain: Any, root_spki_sha256: str) -> None:
    require(isinstance(chain, list) and len(chain) == 2, "UntrustedSigner")
    signer, root = (x509.load_der_x509_certificate(one) for one in chain)
    require(hashlib.sha256(spki_of(root.public_key())).hexdigest() == root_spki_sha256, "UntrustedSigner")
    try:
        signer.verify_directly_issued_by(root)
    except InvalidSignature as error:
        raise Refused("UntrustedSigner") from error
    constraints = signer.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
    require(not constraints.ca and usage.digital_signature and not usage.crl_sign, "UntrustedSigner")


def decrypt_sealed(algorithm: str, key: bytes, ciphertext: bytes, info: bytes) -> bytes:
    try:
        if algorithm == "hybrid":
            suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
            private = MLKEM768X25519PrivateKey(
                MLKEM768PrivateKey.from_seed_bytes(key[:64]), X25519PrivateKey.from_private_bytes(key[64:])
            )
            return suite.decrypt(ciphertext, private, info)
        if algorithm == "classic":
            suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
            return suite.decrypt(ciphertext, X25519PrivateKey.from_private_bytes(key), info)
        return decrypt_symmetric(key, ciphertext, info)
    except InvalidTag as error:
        raise Refused("NotDecryptable") from error


def decrypt_symmetric(key: bytes, ciphertext: bytes, info: bytes) -> bytes:
    value = parse(ciphertext)
    require(isinstance(value, list) and len(value) == 3 and parse(value[0]) == {1: 3}, "Malformed")
    derived = HKDF(hashes.SHA256(), 32, value[1][-65537], b"admittance/sealed-symmetric/1" + info).derive(key)
    aad = cbor2.dumps(["Encrypt0", value[0], info], canonical=True)
    return AESGCM(derived).decrypt(value[1][5], value[2], aad)


# ---------------------------------------------------------------- evidence, network, enrolment, reset


def verify_evidence(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    identity = bytes.fromhex(check["identity_spki"])
    headers, value = parse_sign1(bytes.fromhex(vector["evidence"]))
    evidence = shaped(value[2], EVIDENCE)
    check_sign1(identity, headers, value, failure="SignatureInvalid")
    require(evidence[3] == device_id(identity), "WrongDevice")
    require(evidence[1] == check["origin"], "WrongOrigin")
    require(evidence[2].hex() == check["challenge"], "WrongChallenge")
    require(evidence[4].hex() == check["binding"], "WrongBinding")


def decrypt_network(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    key = HKDF(hashes.SHA256(), 32, bytes.fromhex(check["salt"]), b"admittance/network/1").derive(
        bytes.fromhex(check["app_key"])
    )
    labels = ["admittance/network/1", check["device_id"], bytes.fromhex(check["transaction_id"]), check["attempt"]]
    try:
        plaintext = AESGCM(key).decrypt(
            bytes(12), bytes.fromhex(vector["ciphertext"]), cbor2.dumps(labels, canonical=True)
        )
    except InvalidTag as error:
        raise Refused("NotDecryptable") from error
    ssid, passphrase = shaped(plaintext, NETWORK)
    require(len(ssid.encode()) <= 32 and len(passphrase.encode()) <= 64, "Malformed")


def verify_enrolment(file: Vector, vector: Vector) -> None:
    identity = bytes.fromhex(file["check"]["identity_spki"])
    headers, value = parse_sign1(bytes.fromhex(vector["request"]))
    _, nonce, device, _, ticket, csr, _, _ = shaped(value[2], ENROLMENT)
    require(len(ticket) in (0, 32), "Malformed")
    check_sign1(identity, headers, value, failure="SignatureInvalid")
    require(device == device_id(identity), "WrongDevice")
    require(nonce.hex() == file["check"]["nonce"], "WrongChallenge")
    try:
        request = x509.load_der_x509_csr(csr)
    except (ValueError, x509.InvalidVersion) as error:
        raise Refused("Malformed") from error
    key = request.public_key()
    allowed = isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    )
    require(allowed and spki_of(key) != identity, "KeyRefused")
    require(request.is_signature_valid, "SignatureInvalid")


def verify_reset(file: Vector, vector: Vector) -> None:
    identity = bytes.fromhex(file["check"]["identity_spki"])
    headers, value = parse_sign1(bytes.fromhex(vector["report"]))
    report = shaped(value[2], RESET)
    check_sign1(identity, headers, value, failure="SignatureInvalid")
    require(report[2] == device_id(identity), "WrongDevice")
    require(report[1].hex() == file["check"]["nonce"], "WrongChallenge")
