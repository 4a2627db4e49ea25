"""Vectors of enrolment requests and reset reports."""

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from admittance.protocol.signing import Signer, sign1, spki_of
from admittance.wire import cbor, message
from admittance.wire.enrolment import EnrolmentRequest, ResetReport
from tests.vectors.making.material import (
    DEVICE,
    IDENTITY,
    IDENTITY_SIGNER,
    OTHER_DEVICE,
    OTHER_SIGNER,
    P384_KEY,
    TICKET,
    Vector,
    ed,
    p256,
    seed,
)

NONCE = seed("enrolment nonce")
OPERATIONAL = p256("operational")
CHALLENGE_ID = seed("credential challenge")[:16]
SECRET = seed("credential secret")


def csr(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
    request = builder.sign(key, hashes.SHA256() if is_ec else None, ecdsa_deterministic=True if is_ec else None)
    return request.public_bytes(Encoding.DER)


def enrolment_vectors() -> Vector:
    request = EnrolmentRequest(NONCE, DEVICE, 4, TICKET, csr(OPERATIONAL))
    names = ("label", *request.__struct_fields__)
    values = dict(zip(names, cbor.decode(message.encode(request)), strict=True))

    def signed(signer: Signer = IDENTITY_SIGNER, **changes: Any) -> bytes:
        return sign1(signer, cbor.encode(list((values | changes).values())))

    good, request_csr = signed(), values["csr"]
    rows: list[tuple[str, bytes, str]] = [
        ("first enrolment", good, "ok"),
        ("renewal without a ticket", signed(ticket=b""), "ok"),
        ("Ed25519 operational key", signed(csr=csr(ed("operational"))), "ok"),
        ("second factor", signed(factor=["code", "7KQ2MX4P"]), "ok"),
        ("answer to a credential challenge", signed(proof=[CHALLENGE_ID, SECRET]), "ok"),
        ("signed by another identity", signed(OTHER_SIGNER), "SignatureInvalid"),
        ("ticket changed", good.replace(TICKET, bytes(32), 1), "SignatureInvalid"),
        (
            "request signed by another key",
            signed(csr=request_csr[:-1] + bytes([request_csr[-1] ^ 1])),
            "SignatureInvalid",
        ),
        ("names another device", signed(device_id=OTHER_DEVICE), "WrongDevice"),
        ("answers another nonce", signed(nonce=bytes(32)), "WrongChallenge"),
        ("operational key is the identity key", signed(csr=csr(IDENTITY)), "KeyRefused"),
        ("P-384 operational key", signed(csr=csr(P384_KEY)), "KeyRefused"),
        ("not a PKCS #10 request", signed(csr=b"\x30\x00"), "Malformed"),
        (
            "PKCS #10 request of another version",
            signed(csr=request_csr.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1)),
            "Malformed",
        ),
        ("ticket of 5 bytes", signed(ticket=bytes(5)), "Malformed"),
        ("without proof and factor", sign1(IDENTITY_SIGNER, cbor.encode(list(values.values())[:-2])), "Malformed"),
        ("secret of 16 bytes", signed(proof=[CHALLENGE_ID, SECRET[:16]]), "Malformed"),
        ("second factor of an unknown kind", signed(factor=["password", "7KQ2MX4P"]), "Malformed"),
        ("epoch as text", signed(epoch="4"), "Malformed"),
        ("nonce of 16 bytes", signed(nonce=bytes(16)), "Malformed"),
        ("a reset report", signed(label="admittance/reset/1"), "Malformed"),
    ]
    return {
        "about": "UnverifiedEnrolment.verify; hexadecimal",
        "check": {"identity_spki": IDENTITY_SIGNER.spki.hex(), "nonce": NONCE.hex()},
        "operational_spki": spki_of(OPERATIONAL.public_key()).hex(),
        "vectors": [{"name": name, "request": data.hex(), "expected": expected} for name, data, expected in rows],
    }


def reset_vectors() -> Vector:
    report = ResetReport(NONCE, DEVICE, 4, 1)
    names = ("label", *report.__struct_fields__)
    values = dict(zip(names, cbor.decode(message.encode(report)), strict=True))

    def signed(signer: Signer = IDENTITY_SIGNER, **changes: Any) -> bytes:
        return sign1(signer, cbor.encode(list((values | changes).values())))

    rows: list[tuple[str, bytes, str]] = [
        ("first reset", signed(), "ok"),
        ("signed by another identity", signed(OTHER_SIGNER), "SignatureInvalid"),
        ("names another device", signed(device_id=OTHER_DEVICE), "WrongDevice"),
        ("answers another nonce", signed(nonce=bytes(32)), "WrongChallenge"),
        ("negative count", signed(resets=-1), "Malformed"),
        ("count of 2**64", signed(resets=2**64), "Malformed"),
        ("an enrolment's label", signed(label="admittance/enrolment/1"), "Malformed"),
    ]
    return {
        "about": "UnverifiedResetReport.verify; hexadecimal",
        "check": {"identity_spki": IDENTITY_SIGNER.spki.hex(), "nonce": NONCE.hex()},
        "vectors": [{"name": name, "report": data.hex(), "expected": expected} for name, data, expected in rows],
    }
