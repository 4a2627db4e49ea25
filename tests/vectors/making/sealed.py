"""Vectors of sealed configurations."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509

from admittance.protocol.provisioning.network_secret import Network, encrypt_network
from admittance.protocol.sealing import (
    ClassicSealKey,
    HybridSealKey,
    SymmetricRecipient,
    spki_sha256,
    thumbprint,
)
from admittance.protocol.signing import Signer, sign1, spki_of
from admittance.wire import cbor, message
from admittance.wire.sealed import Configuration, Header
from tests.vectors import hpke_reference
from tests.vectors.making.material import (
    APP_KEY,
    CLASSIC,
    CRL_SIGNER,
    DEVICE,
    DEVICE_NONCE,
    ORIGIN,
    OTHER_DEVICE,
    OTHER_ROOT,
    OTHER_SIGNER_CERTIFICATE,
    P384_SIGNER,
    ROOT,
    ROOT_KEY,
    SIGNER,
    SIGNER_KEY,
    SUB_CA,
    TICKET,
    TRANSACTION,
    DeterministicSigner,
    Vector,
    der,
    p256,
    seed,
)

PUBLISHED: Vector = json.loads((Path(__file__).parents[1] / "hpke.json").read_text())["vectors"][-1]
HYBRID = HybridSealKey.from_bytes(hashlib.shake_256(bytes.fromhex(PUBLISHED["sk"])).digest(96))
OTHER_CLASSIC = ClassicSealKey.from_bytes(seed("another classic seal key"))
SYMMETRIC = seed("symmetric seal key")

HEADER = Header("activate", DEVICE, 4, thumbprint(der(SIGNER)), 8, 900, DEVICE_NONCE)
EXPECTATION: Vector = {
    "device_id": DEVICE,
    "purposes": ["activate"],
    "epoch": 3,
    "last_sequence": 7,
    "device_nonce": HEADER.device_nonce.hex(),
    "elapsed_s": 10,
}
CONFIGURATION = Configuration(
    server_origin=ORIGIN,
    first_contact_url="https://admittance.example:8444",
    device_url="https://admittance.example:8445",
    anchors=[der(ROOT)],
    server_time=1_800_000_000,
    ticket=TICKET,
    network=seed("network salt")
    + encrypt_network(
        APP_KEY, seed("network salt"), DEVICE, TRANSACTION, 0, Network("Home", "correct horse battery staple")
    ),
    permits=["prov-config"],
    renew_after_s=259_200,
    relay_urls=["wss://admittance.example:8447"],
    server_channel=spki_of(p256("server channel").public_key()),
    token_keys=[spki_of(p256("token key").public_key())],
)


def header(**changes: Any) -> bytes:
    """The encoded header with some of its fields changed, whether they are allowed or not."""
    values = dict(zip(("label", *HEADER.__struct_fields__), cbor.decode(message.encode(HEADER)), strict=True))
    return cbor.encode(list((values | changes).values()))


def hpke(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """As `ClassicRecipient`, but with an ephemeral key from a label."""
    enc, secret = hpke_reference.encapsulate_x25519(seed("ephemeral"), public)
    return hpke_reference.encrypt(hpke_reference.DHKEM_X25519, enc, secret, info, plaintext)


def sealed_parts(algorithm: str, plaintext: bytes, info: bytes) -> bytes:
    if algorithm == "hybrid":
        enc, secret = bytes.fromhex(PUBLISHED["enc"]), bytes.fromhex(PUBLISHED["shared_secret"])
        return hpke_reference.encrypt(hpke_reference.MLKEM768_X25519, enc, secret, info, plaintext)
    if algorithm == "classic":
        return hpke(CLASSIC.public, plaintext, info)
    return SymmetricRecipient(SYMMETRIC).encrypt(plaintext, info, lambda size: seed(f"random {size}", size))


def sealed(
    algorithm: str = "classic",
    *,
    head: bytes | None = None,
    plaintext: bytes | None = None,
    ciphertext: bytes | None = None,
    declared: str | None = None,
    signer: Signer | None = None,
    chain: Iterable[x509.Certificate] = (SIGNER, ROOT),
) -> bytes:
    info = message.encode(HEADER) if head is None else head
    if ciphertext is None:
        content = message.encode(CONFIGURATION) if plaintext is None else plaintext
        ciphertext = sealed_parts(algorithm, content, info)
    envelope = cbor.encode([info, declared or algorithm, ciphertext])
    chosen = signer or DeterministicSigner(SIGNER_KEY)
    return sign1(chosen, envelope, chain=[der(one) for one in chain])


def changed_configuration(**changes: Any) -> bytes:
    names = ("label", *CONFIGURATION.__struct_fields__)
    values = dict(zip(names, cbor.decode(message.encode(CONFIGURATION)), strict=True))
    return cbor.encode(list((values | changes).values()))


def sealed_vectors() -> Vector:
    plain = message.encode(HEADER)
    good = sealed()
    to_classic = sealed_parts("classic", message.encode(CONFIGURATION), plain)
    rows: list[tuple[str, bytes, str, str, Vector]] = [
        ("hybrid", sealed("hybrid"), "ok", "hybrid", {}),
        ("classic", good, "ok", "classic", {}),
        ("symmetric", sealed("symmetric"), "ok", "symmetric", {}),
        ("at the end of its lifetime", good, "ok", "classic", {"elapsed_s": 900}),
        (
            "re-provisioning keeps the epoch",
            sealed(head=header(purpose="reprovision", epoch=3)),
            "ok",
            "classic",
            {"purposes": ["reprovision"]},
        ),
        ("sequence of the last accepted one", sealed(head=header(sequence=7)), "SequenceReplayed", "classic", {}),
        ("accepted before", good, "SequenceReplayed", "classic", {"last_sequence": 8}),
        ("for another device", sealed(head=header(device_id=OTHER_DEVICE)), "WrongDevice", "classic", {}),
        (
            "to re-provision, where a claim is open",
            sealed(head=header(purpose="reprovision")),
            "WrongPurpose",
            "classic",
            {},
        ),
        ("a claim that keeps the epoch", sealed(head=header(epoch=3)), "WrongEpoch", "classic", {}),
        (
            "re-provisioning by an earlier owner",
            sealed(head=header(purpose="reprovision", epoch=2)),
            "WrongEpoch",
            "classic",
            {"purposes": ["activate", "reprovision"]},
        ),
        ("of another transaction", sealed(head=header(device_nonce=bytes(16))), "WrongNonce", "classic", {}),
        ("a second after its lifetime", good, "ConfigurationExpired", "classic", {"elapsed_s": 901}),
        (
            "under another root",
            sealed(chain=(OTHER_SIGNER_CERTIFICATE, OTHER_ROOT)),
            "UntrustedSigner",
            "classic",
            {},
        ),
        ("signer of another root", sealed(chain=(OTHER_SIGNER_CERTIFICATE, ROOT)), "UntrustedSigner", "classic", {}),
        ("signer is a CA", sealed(chain=(SUB_CA, ROOT)), "UntrustedSigner", "classic", {}),
        ("signer may only sign revocation lists", sealed(chain=(CRL_SIGNER, ROOT)), "UntrustedSigner", "classic", {}),
        ("signer with a P-384 key", sealed(chain=(P384_SIGNER, ROOT)), "UntrustedSigner", "classic", {}),
        ("no chain", sealed(chain=()), "UntrustedSigner", "classic", {}),
        ("chain without the root", sealed(chain=(SIGNER,)), "UntrustedSigner", "classic", {}),
        ("signed by the root itself", sealed(signer=DeterministicSigner(ROOT_KEY)), "UntrustedSigner", "classic", {}),
        (
            "header names another signer",
            sealed(head=header(signer_thumbprint=thumbprint(der(SUB_CA)))),
            "UntrustedSigner",
            "classic",
            {},
        ),
        ("last byte of the signature changed", good[:-1] + bytes([good[-1] ^ 1]), "UntrustedSigner", "classic", {}),
        (
            "sealed to another device's key",
            sealed(ciphertext=hpke(OTHER_CLASSIC.public, message.encode(CONFIGURATION), plain)),
            "NotDecryptable",
            "classic",
            {},
        ),
        (
            "longer lifetime, signed again over the old ciphertext",
            sealed(head=header(lifetime_s=90_000), ciphertext=to_classic),
            "NotDecryptable",
            "classic",
            {},
        ),
        ("classic, to a device with a hybrid key", good, "NotDecryptable", "hybrid", {}),
        (
            "hybrid ciphertext cut short",
            sealed(ciphertext=sealed_parts("hybrid", b"", plain)[:-1], declared="hybrid"),
            "NotDecryptable",
            "hybrid",
            {},
        ),
        ("symmetric, header changed", sealed("symmetric", head=header(lifetime_s=901)), "ok", "symmetric", {}),
        (
            "symmetric, old ciphertext under a new header",
            sealed(
                head=header(lifetime_s=901),
                ciphertext=sealed_parts("symmetric", message.encode(CONFIGURATION), plain),
                declared="symmetric",
            ),
            "NotDecryptable",
            "symmetric",
            {},
        ),
        (
            "symmetric without structure",
            sealed(ciphertext=b"\x80", declared="symmetric"),
            "Malformed",
            "symmetric",
            {},
        ),
        ("byte after the end", good + b"\0", "Malformed", "classic", {}),
        ("cut short", good[:-1], "Malformed", "classic", {}),
        ("unknown purpose", sealed(head=header(purpose="factory")), "Malformed", "classic", {}),
        ("unknown label", sealed(head=header(label="admittance/sealed/2")), "Malformed", "classic", {}),
        ("negative epoch", sealed(head=header(epoch=-1)), "Malformed", "classic", {}),
        ("header with a ninth element", sealed(head=header(more=1)), "Malformed", "classic", {}),
        (
            "epoch in two bytes where one does",
            sealed(head=plain.replace(b"\x04\x58\x20", b"\x18\x04\x58\x20", 1)),
            "Malformed",
            "classic",
            {},
        ),
        (
            "ticket of 31 bytes",
            sealed(plaintext=changed_configuration(ticket=bytes(31))),
            "Malformed",
            "classic",
            {},
        ),
        ("no anchors", sealed(plaintext=changed_configuration(anchors=[])), "Malformed", "classic", {}),
        (
            "five relay URLs",
            sealed(plaintext=changed_configuration(relay_urls=CONFIGURATION.relay_urls * 5)),
            "Malformed",
            "classic",
            {},
        ),
        (
            "server's channel key cut short",
            sealed(plaintext=changed_configuration(server_channel=bytes(90))),
            "Malformed",
            "classic",
            {},
        ),
        (
            "token key cut short",
            sealed(plaintext=changed_configuration(token_keys=[bytes(90)])),
            "Malformed",
            "classic",
            {},
        ),
        (
            "three token keys",
            sealed(plaintext=changed_configuration(token_keys=CONFIGURATION.token_keys * 3)),
            "Malformed",
            "classic",
            {},
        ),
    ]
    return {
        "about": "open_sealed: hexadecimal; `expectation` of a vector changes that of the file",
        "root_spki_sha256": spki_sha256(ROOT).hex(),
        "seal_keys": {
            "hybrid": HYBRID.to_bytes().hex(),
            "classic": CLASSIC.to_bytes().hex(),
            "symmetric": SYMMETRIC.hex(),
        },
        "expectation": EXPECTATION,
        "configuration": message.encode(CONFIGURATION).hex(),
        "vectors": [
            {"name": name, "seal_key": key, "expectation": changes, "sealed": data.hex(), "expected": expected}
            for name, data, expected, key, changes in rows
        ],
    }
