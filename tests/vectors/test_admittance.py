"""Our own vectors: made by `generate.py`, checked by our code and, without it, by `independent.py`.

Both must refuse each bad vector with exactly the class that it names.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import AdmittanceError
from admittance.protocol.access.device_nonces import DeviceNonces
from admittance.protocol.access.epoch_list import verify_epoch_list
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.access.offline_access import Instant, OfflineAccess, OfflineRecord
from admittance.protocol.access.offline_token import Audience
from admittance.protocol.access.possession import master_secret, server_keys
from admittance.protocol.channel.oscore import SecurityContext
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.enrolment.reset import read_reset_report
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import decrypt_network
from admittance.protocol.sealing import (
    ClassicSealKey,
    Expectation,
    HybridSealKey,
    SealKey,
    SymmetricSealKey,
    open_sealed,
)
from admittance.wire import message, senml
from admittance.wire.access import GrantedKey
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer
from admittance.wire.channel import PUT, Permission
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE
from admittance.wire.readings import Readings
from tests.vectors import generate, independent, independent_offline, independent_possession, independent_senml

Vector = dict[str, Any]
FILES: dict[str, Vector] = {path.stem: json.loads(path.read_text()) for path in generate.FOLDER.glob("*.json")}


def seal_key(file: Vector, algorithm: str) -> SealKey:
    key = bytes.fromhex(file["seal_keys"][algorithm])
    if algorithm == "hybrid":
        return HybridSealKey.from_bytes(key)
    return ClassicSealKey.from_bytes(key) if algorithm == "classic" else SymmetricSealKey(key)


def ours_sealed(file: Vector, vector: Vector) -> None:
    expected = file["expectation"] | vector["expectation"]
    opened = open_sealed(
        bytes.fromhex(vector["sealed"]),
        root_spki_sha256=bytes.fromhex(file["root_spki_sha256"]),
        seal_key=seal_key(file, vector["seal_key"]),
        expectation=Expectation(
            device_id=expected["device_id"],
            purposes=frozenset(expected["purposes"]),
            epoch=expected["epoch"],
            last_sequence=expected["last_sequence"],
            device_nonce=bytes.fromhex(expected["device_nonce"]),
            elapsed_s=expected["elapsed_s"],
        ),
    )
    assert message.encode(opened.configuration).hex() == file["configuration"]


def independent_sealed(file: Vector, vector: Vector) -> None:
    assert independent.open_sealed(file, vector).hex() == file["configuration"]


def ours_evidence(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    read_evidence(bytes.fromhex(vector["evidence"])).verify(
        bytes.fromhex(check["identity_spki"]),
        origin=check["origin"],
        challenge=bytes.fromhex(check["challenge"]),
        binding=bytes.fromhex(check["binding"]),
    )


def ours_network(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    decrypt_network(
        bytes.fromhex(check["app_key"]),
        bytes.fromhex(check["salt"]),
        check["device_id"],
        bytes.fromhex(check["transaction_id"]),
        check["attempt"],
        bytes.fromhex(vector["ciphertext"]),
    )


def ours_enrolment(file: Vector, vector: Vector) -> None:
    check = file["check"]
    read_request(bytes.fromhex(vector["request"])).verify(
        bytes.fromhex(check["identity_spki"]), bytes.fromhex(check["nonce"])
    )


def ours_reset(file: Vector, vector: Vector) -> None:
    check = file["check"]
    read_reset_report(bytes.fromhex(vector["report"])).verify(
        bytes.fromhex(check["identity_spki"]), bytes.fromhex(check["nonce"])
    )


def ours_readings(_file: Vector, vector: Vector) -> None:
    batch = message.decode(bytes.fromhex(vector["batch"]), Readings)
    records = [
        [record.name, record.unit, record.value, record.taken_at(batch.sent_at), record.sum]
        for record in senml.decode(batch.pack)
    ]
    assert records == vector["records"]


def ours_offline(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    audience = Audience(
        check["issuer"],
        check["audience"],
        tuple(bytes.fromhex(spki) for spki in check["token_keys"]),
        ec.derive_private_key(int(check["access_key"], 16), ec.SECP256R1()),
    )
    access = OfflineAccess(
        check["device_id"],
        lambda: audience,
        DeviceNonces(bytes.fromhex(check["nonce_key"])),
        OfflineRecord(check["epoch"], check["lowest_sequence"], check["seen"]),
    )
    token = bytes.fromhex(vector["token"])
    if check["first_seen_at"] is not None:
        access.accept(token, check["epoch"], Instant(check["first_seen_at"], check["unix"], check["trusted"]))
    key = access.accept(token, check["epoch"], Instant(check["monotonic"], check["unix"], check["trusted"]))
    assert key.master_secret.hex() == file["master_secret"]


def independent_token(file: Vector, vector: Vector) -> None:
    assert independent_offline.verify_token(file, vector).hex() == file["master_secret"]


def ours_epoch_list(file: Vector, vector: Vector) -> None:
    check = file["check"]
    token_keys = [bytes.fromhex(spki) for spki in check["token_keys"]]
    verify_epoch_list(bytes.fromhex(vector["list"]), check["device_id"], token_keys)


def ours_possession(file: Vector, vector: Vector) -> None:
    check = file["check"] | vector["check"]
    asked = AuthzInfo.decode(bytes.fromhex(check["request"]))
    token, key = asked.access_token, key_of(check)
    found = GrantedAccess(keys=(key,)).find(token)
    answer = AuthzInfoAnswer.decode(bytes.fromhex(check["answer"]))
    keys = server_keys(found.master_secret, asked, answer)
    context = SecurityContext.derive(
        keys.master_secret,
        master_salt=keys.master_salt,
        sender_id=keys.sender_id,
        recipient_id=keys.recipient_id,
    )
    protected = ((OSCORE, bytes.fromhex(vector["option"])),)
    opened, _ = context.unprotect_request(CoapMessage(codes.POST, b"", protected, bytes.fromhex(vector["payload"])))
    assert (opened.code, opened.path, opened.payload.hex()) == (codes.PUT, "/lock", file["order"])


def key_of(check: Vector) -> GrantedKey:
    server, client, grant, token = (
        bytes.fromhex(check[name]) for name in ("server_share", "client_share", "grant", "token")
    )
    secret = master_secret(
        server, client_share=client, device_id=check["device_id"], client=check["client"], grant=grant
    )
    return GrantedKey(token, secret, grant, check["client"], (Permission("/lock", PUT),), 0, 1, 0)


CHECKS: dict[str, tuple[Callable[[Vector, Vector], None], Callable[[Vector, Vector], None]]] = {
    "sealed": (ours_sealed, independent_sealed),
    "evidence": (ours_evidence, independent.verify_evidence),
    "network": (ours_network, independent.decrypt_network),
    "enrolment": (ours_enrolment, independent.verify_enrolment),
    "reset": (ours_reset, independent.verify_reset),
    "possession": (ours_possession, independent_possession.open_request),
    "readings": (ours_readings, independent_senml.read_batch),
    "offline": (ours_offline, independent_token),
    "epoch_list": (ours_epoch_list, independent_offline.read_epoch_list),
}
CASES = [
    pytest.param(name, vector, id=f"{name}: {vector['name']}")
    for name, file in sorted(FILES.items())
    for vector in file["vectors"]
]


@pytest.mark.parametrize(("name", "vector"), CASES)
def test_our_code_agrees(name: str, vector: Vector) -> None:
    try:
        CHECKS[name][0](FILES[name], vector)
    except AdmittanceError as error:
        outcome = type(error).__name__
    else:
        outcome = "ok"
    assert outcome == vector["expected"]


@pytest.mark.parametrize(("name", "vector"), CASES)
def test_the_independent_verifier_agrees(name: str, vector: Vector) -> None:
    try:
        CHECKS[name][1](FILES[name], vector)
    except independent.Refused as error:
        outcome = str(error)
    else:
        outcome = "ok"
    assert outcome == vector["expected"]


def test_every_file_is_checked() -> None:
    assert FILES.keys() == CHECKS.keys()


def test_the_independent_verifier_is_independent() -> None:
    modules = (independent, independent_offline, independent_possession, independent_senml)
    text = "".join(Path(str(module.__file__)).read_text() for module in modules)
    assert "import admittance" not in text
    assert "from admittance" not in text


def test_the_generator_makes_the_same_bytes() -> None:
    assert generate.files() == {path.name: path.read_text() for path in generate.FOLDER.glob("*.json")}
