import os
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from admittance.errors import ConfigurationError, Malformed, TpmKeyLost, TpmRefused, TpmUnavailable
from admittance.protocol.enrolment.attested import build_attested_csr, verify_attested
from admittance.protocol.signing import Signer, load_public_key
from admittance.protocol.tpm.credential import make_credential
from admittance.protocol.tpm.ek import check_ek
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.tpm.keys import TpmKeys
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind
from admittance.wire.device_id import device_id
from admittance.wire.tpm.public import Public
from tests.tpm_made import NOW, authority, clear, loaded, made_tpm

LABEL = b"l" * 32
NONCE = b"n" * 32
SECRET = b"s" * 32


def holds(signer: Signer, data: bytes) -> bool:
    signature = signer.sign(data)
    key = load_public_key(signer.spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    key.verify(der, data, ec.ECDSA(hashes.SHA256()))
    return len(signature) == 64


def challenge(keys: TpmKeys, label: bytes = LABEL) -> tuple[bytes, bytes]:
    ek_public, _ = keys.endorsement()
    ak = Public.decode(keys.attestation_public(label))
    return make_credential(Public.decode(ek_public), ak.name, SECRET, os.urandom)


def test_identity_and_operational_keys_sign(tcti: str) -> None:
    keys = TpmKeys(tcti)
    identity, operational = keys.identity(), keys.signer(keys.make_key())
    assert identity.spki != operational.spki
    assert holds(identity, b"hello")
    assert holds(operational, b"hello")
    assert loaded(tcti) == 0


def test_identity_ek_and_its_certificate_survive_a_clear_but_operational_keys_do_not(tcti: str) -> None:
    keys = TpmKeys(tcti)
    identity, endorsement = keys.identity(), keys.endorsement()
    attestation, operational = keys.attestation_public(LABEL), keys.make_key()
    clear(tcti)
    assert keys.identity().spki == identity.spki
    assert holds(identity, b"hello")
    assert keys.endorsement() == endorsement
    assert keys.attestation_public(LABEL) == attestation
    with pytest.raises(TpmKeyLost):
        keys.signer(operational).sign(b"hello")
    assert loaded(tcti) == 0


def test_another_label_is_another_attestation_key(tcti: str) -> None:
    keys = TpmKeys(tcti)
    assert keys.attestation_public(LABEL) != keys.attestation_public(b"m" * 32)


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
def test_the_proof_of_a_device_holds_for_every_kind_of_ek(tmp_path: Path, kind: EkKind) -> None:
    with made_tpm(tmp_path, kind) as tcti:
        keys = TpmKeys(tcti)
        ek_public, certificate = keys.endorsement()
        root = authority(tmp_path / "maker").certificate
        check_ek([certificate], [root], Public.decode(ek_public), NOW.timestamp() + 1)
        assert keys.activate(LABEL, *challenge(keys)) == SECRET
        kept, identity = keys.make_key(), keys.identity()
        statements = keys.attest(LABEL, kept, NONCE, "")
        csr = build_attested_csr(keys.signer(kept), device_id(identity.spki), statements)
        ak_public = Public.decode(keys.attestation_public(LABEL))
        verified = verify_attested(
            csr, nonce=NONCE, ak_public=ak_public, identity_spki=identity.spki, pcr_policy=None
        )
        assert verified.operational_spki == keys.signer(kept).spki
        assert loaded(tcti) == 0


def test_a_quote_is_of_the_registers_that_were_asked_for(tcti: str) -> None:
    keys = TpmKeys(tcti)
    kept, identity = keys.make_key(), keys.identity()
    statements = keys.attest(LABEL, kept, NONCE, "sha256:0,1,2,3,4,5,6,7")
    csr = build_attested_csr(keys.signer(kept), device_id(identity.spki), statements)
    policy = PcrPolicy.parse("sha256:0,1,2,3,4,5,6,7", [sha256(bytes(8 * 32)).hexdigest()])
    ak_public = Public.decode(keys.attestation_public(LABEL))
    verify_attested(csr, nonce=NONCE, ak_public=ak_public, identity_spki=identity.spki, pcr_policy=policy)


def test_a_credential_for_another_attestation_key_is_refused_and_leaves_nothing_loaded(tcti: str) -> None:
    keys = TpmKeys(tcti)
    for _ in range(5):
        with pytest.raises(TpmRefused):
            keys.activate(LABEL, *challenge(keys, b"m" * 32))
        assert loaded(tcti) == 0
    assert keys.activate(LABEL, *challenge(keys)) == SECRET


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_a_credential_for_another_tpm_is_refused(tmp_path: Path, kind: EkKind) -> None:
    with made_tpm(tmp_path / "a", kind) as first, made_tpm(tmp_path / "b", kind) as second:
        with pytest.raises(TpmRefused):
            TpmKeys(second).activate(LABEL, *challenge(TpmKeys(first)))
        assert loaded(second) == 0


@pytest.mark.parametrize(("id_object", "secret"), [(b"", b""), (b"\x00\x02ab" + bytes(9), b"\x00\x00"), (b"x", b"x")])
def test_a_credential_that_does_not_decode_is_malformed_or_refused(
    tcti: str, id_object: bytes, secret: bytes
) -> None:
    with pytest.raises((Malformed, TpmRefused)):
        TpmKeys(tcti).activate(LABEL, id_object, secret)
    assert loaded(tcti) == 0


@pytest.mark.parametrize("pcrs", ["md5:0", "sha256", "sha256:99", "nonsense"])
def test_a_quote_of_registers_that_are_none_is_malformed(tcti: str, pcrs: str) -> None:
    keys = TpmKeys(tcti)
    with pytest.raises((Malformed, TpmRefused)):
        keys.attest(LABEL, keys.make_key(), NONCE, pcrs)
    assert loaded(tcti) == 0


def test_the_disk_of_a_device_in_another_tpm_signs_nothing(tmp_path: Path) -> None:
    with made_tpm(tmp_path / "a") as first, made_tpm(tmp_path / "b") as second:
        kept = TpmKeys(first).make_key()
        clone = TpmKeys(second)
        assert clone.identity().spki != TpmKeys(first).identity().spki
        for _ in range(5):
            with pytest.raises(TpmKeyLost):
                clone.signer(kept).sign(b"hello")
            with pytest.raises(TpmKeyLost):
                clone.attest(LABEL, kept, NONCE, "")
        assert loaded(second) == 0


def test_a_kept_key_that_is_none_is_lost(tcti: str) -> None:
    with pytest.raises(TpmKeyLost):
        TpmKeys(tcti).signer(b"a key in a file")


def test_a_tpm_without_certificate_names_the_next_step(tmp_path: Path) -> None:
    with software_tpm(tmp_path) as tcti, pytest.raises(ConfigurationError, match="maker's certificate"):
        TpmKeys(tcti).endorsement()


def test_a_tpm_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(TpmUnavailable, match="does not answer"):
        TpmKeys(f"swtpm:path={tmp_path / 'none'}").identity()
