"""Vectors of evidence."""

from typing import Any

from admittance.protocol.signing import sign1, spki_of
from admittance.wire import cbor, message
from admittance.wire.evidence import Claims, Evidence, PublicKeys
from tests.vectors.making.material import (
    CLASSIC,
    DEVICE,
    DEVICE_NONCE,
    IDENTITY,
    IDENTITY_SIGNER,
    ORIGIN,
    OTHER_DEVICE,
    OTHER_SIGNER,
    Vector,
    certificate,
    der,
    p256,
    seed,
)

CHALLENGE, BINDING = seed("challenge"), seed("binding")
EVIDENCE = Evidence(
    server_origin=ORIGIN,
    challenge=CHALLENGE,
    device_id=DEVICE,
    binding=BINDING,
    presence="display",
    code_age_s=12,
    device_nonce=DEVICE_NONCE,
    last_sequence=7,
    epoch=3,
    public_keys=PublicKeys(
        "classic",
        CLASSIC.public,
        spki_of(p256("channel").public_key()),
        spki_of(p256("access").public_key()),
    ),
    claims=Claims("lamp", "1.2.3", 0),
)
MAKER_KEY = p256("maker CA")
IDENTITY_CERTIFICATE = certificate("lamp", IDENTITY, "Maker CA", MAKER_KEY, ca=False)


def changed_evidence(**changes: Any) -> bytes:
    names = ("label", *EVIDENCE.__struct_fields__)
    values = dict(zip(names, cbor.decode(message.encode(EVIDENCE)), strict=True))
    return cbor.encode(list((values | changes).values()))


def evidence_vectors() -> Vector:
    def signed(**changes: Any) -> bytes:
        return sign1(IDENTITY_SIGNER, changed_evidence(**changes))

    good = signed()
    forged = good.replace(b"1.2.3", b"9.2.3", 1)
    rows: list[tuple[str, bytes, str, Vector]] = [
        ("listed device", good, "ok", {}),
        ("certified device", sign1(IDENTITY_SIGNER, changed_evidence(), chain=[der(IDENTITY_CERTIFICATE)]), "ok", {}),
        (
            "Ed25519 identity",
            sign1(OTHER_SIGNER, changed_evidence(device_id=OTHER_DEVICE)),
            "ok",
            {"identity_spki": OTHER_SIGNER.spki.hex()},
        ),
        ("claims changed", forged, "SignatureInvalid", {}),
        ("signed by another identity", sign1(OTHER_SIGNER, changed_evidence()), "SignatureInvalid", {}),
        ("checked with another identity", good, "SignatureInvalid", {"identity_spki": OTHER_SIGNER.spki.hex()}),
        ("names another device", signed(device_id=OTHER_DEVICE), "WrongDevice", {}),
        ("for another server", signed(server_origin="https://admittance.example.com"), "WrongOrigin", {}),
        ("answers another challenge", signed(challenge=bytes(32)), "WrongChallenge", {}),
        ("of another session", signed(binding=bytes(32)), "WrongBinding", {}),
        ("phone saw another session", good, "WrongBinding", {"binding": bytes(32).hex()}),
        ("challenge of 31 bytes", signed(challenge=CHALLENGE[:31]), "Malformed", {}),
        ("unknown presence method", signed(presence="shout"), "Malformed", {}),
        ("another label", signed(label="admittance/evidence/2"), "Malformed", {}),
        ("one more element", signed(more=0), "Malformed", {}),
        (
            "claims with an unknown field",
            signed(claims={"model": "lamp", "firmware": "1", "resets": 0, "x": 1}),
            "Malformed",
            {},
        ),
        ("byte after the end", good + b"\0", "Malformed", {}),
        ("map keys out of order", sign1(IDENTITY_SIGNER, swapped_claims()), "Malformed", {}),
    ]
    return {
        "about": "UnverifiedEvidence.verify; hexadecimal; `check` of a vector changes that of the file",
        "check": {
            "identity_spki": IDENTITY_SIGNER.spki.hex(),
            "origin": ORIGIN,
            "challenge": CHALLENGE.hex(),
            "binding": BINDING.hex(),
        },
        "vectors": [
            {"name": name, "check": changes, "evidence": data.hex(), "expected": expected}
            for name, data, expected, changes in rows
        ],
    }


def swapped_claims() -> bytes:
    """The evidence with the claims `model` and `resets` in the wrong order."""
    encoded = changed_evidence()
    model, resets = cbor.encode("model") + cbor.encode("lamp"), cbor.encode("resets") + cbor.encode(0)
    return encoded.replace(model, b"?", 1).replace(resets, model, 1).replace(b"?", resets, 1)
