"""Logins at a keyboard, and where a device finds its server for them."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import (
    AdmittanceError,
    Malformed,
    SignatureInvalid,
    UntrustedSigner,
    WrongChallenge,
    WrongDevice,
    WrongNonce,
    WrongOrigin,
)
from admittance.protocol.enrolment.login import build_login, open_bootstrap, read_login, sign_bootstrap
from admittance.protocol.sealing import spki_sha256
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keystore import open_keystore
from admittance.wire.factors import Bootstrap
from tests.vectors.making.material import DEVICE, IDENTITY, OTHER_DEVICE, OTHER_IDENTITY
from tests.wire_messages import changed

NONCE, DEVICE_NONCE = bytes(range(32)), b"n" * 16
SIGNER = SoftwareSigner(IDENTITY)
ORIGIN = "https://admit.example"
BOOTSTRAP = Bootstrap(DEVICE_NONCE, ORIGIN, ORIGIN + ":8444", ORIGIN + ":8445", [b"anchor"], 1_800_000_000)
LOGIN = build_login(SIGNER, nonce=NONCE, device_id=DEVICE, epoch=3, email="ann@example.org", password="secret")


def test_a_login_verifies() -> None:
    login = read_login(LOGIN).verify(SIGNER.spki, NONCE)
    assert (login.device_id, login.epoch, login.email, login.password) == (DEVICE, 3, "ann@example.org", "secret")
    assert "secret" not in repr(login) + repr(read_login(LOGIN))


def test_a_login_is_for_one_device_and_one_nonce() -> None:
    with pytest.raises(WrongChallenge):
        read_login(LOGIN).verify(SIGNER.spki, bytes(32))
    with pytest.raises(SignatureInvalid):
        read_login(LOGIN).verify(SoftwareSigner(OTHER_IDENTITY).spki, NONCE)
    other = build_login(SIGNER, nonce=NONCE, device_id=OTHER_DEVICE, epoch=3, email="a@b", password="secret")
    with pytest.raises(WrongDevice):
        read_login(other).verify(SIGNER.spki, NONCE)


@given(st.data())
def test_a_changed_login_is_refused(data: st.DataObject) -> None:
    with pytest.raises(AdmittanceError):
        read_login(data.draw(changed(LOGIN))).verify(SIGNER.spki, NONCE)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_login_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_login(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A signed bootstrap answer, and the hash of its root."""
    keys = open_keystore(tmp_path_factory.mktemp("keys") / "keys", now=1_800_000_000.0)
    root = spki_sha256(x509.load_der_x509_certificate(keys.configuration_root))
    return sign_bootstrap(BOOTSTRAP, SoftwareSigner(keys.configuration_key), tuple(keys.configuration_chain)), root


def test_a_bootstrap_answer_is_believed_for_its_signature(server: tuple[bytes, bytes]) -> None:
    signed, root = server
    opened = open_bootstrap(signed, root_spki_sha256=root, device_nonce=DEVICE_NONCE, server_origin=ORIGIN)
    assert opened == BOOTSTRAP


def test_a_bootstrap_answer_of_another_is_refused(server: tuple[bytes, bytes]) -> None:
    signed, root = server
    with pytest.raises(UntrustedSigner):
        open_bootstrap(signed, root_spki_sha256=bytes(32), device_nonce=DEVICE_NONCE, server_origin=ORIGIN)
    with pytest.raises(WrongNonce):
        open_bootstrap(signed, root_spki_sha256=root, device_nonce=bytes(16), server_origin=ORIGIN)
    with pytest.raises(WrongOrigin):
        open_bootstrap(signed, root_spki_sha256=root, device_nonce=DEVICE_NONCE, server_origin="https://evil.example")
    with pytest.raises(AdmittanceError):
        open_bootstrap(
            signed[:-1] + bytes([signed[-1] ^ 1]),
            root_spki_sha256=root,
            device_nonce=DEVICE_NONCE,
            server_origin=ORIGIN,
        )
