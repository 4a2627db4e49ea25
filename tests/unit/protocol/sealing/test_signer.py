import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import UntrustedSigner
from admittance.protocol.sealing import spki_sha256, thumbprint
from admittance.protocol.sealing.signer import verify_signer
from admittance.protocol.signing import spki_of
from tests.vectors.making.material import certificate, p256
from tests.vectors.making.sealed import (
    CRL_SIGNER,
    OTHER_ROOT,
    OTHER_SIGNER_CERTIFICATE,
    P384_SIGNER,
    ROOT,
    ROOT_KEY,
    SIGNER,
    SIGNER_KEY,
    SUB_CA,
    der,
)
from tests.wire_messages import changed

ROOT_SHA256 = spki_sha256(ROOT)
GRANDCHILD = certificate("leaf", p256("leaf"), "Configuration CA", SIGNER_KEY, ca=False)
MISNAMED = certificate("signer", SIGNER_KEY, "Somebody else", ROOT_KEY, ca=False)


def test_the_signer_s_key() -> None:
    key = verify_signer((der(SIGNER), der(ROOT)), ROOT_SHA256)
    assert spki_of(key) == spki_of(SIGNER_KEY.public_key())


def test_a_renewed_root_certificate_over_the_same_key_is_the_same_root() -> None:
    renewed = certificate("Configuration root", ROOT_KEY, "Configuration root", ROOT_KEY, ca=True)
    assert verify_signer((der(SIGNER), der(renewed)), ROOT_SHA256)


@pytest.mark.parametrize(
    "chain",
    [
        (),
        (SIGNER,),
        (ROOT,),
        (ROOT, ROOT),
        (ROOT, SIGNER),
        (SIGNER, SIGNER),
        (SIGNER, OTHER_ROOT),
        (SIGNER, ROOT, ROOT),
        (OTHER_SIGNER_CERTIFICATE, OTHER_ROOT),
        (OTHER_SIGNER_CERTIFICATE, ROOT),
        (SUB_CA, ROOT),
        (CRL_SIGNER, ROOT),
        (P384_SIGNER, ROOT),
        (GRANDCHILD, ROOT),
        (GRANDCHILD, SUB_CA),
        (GRANDCHILD, SUB_CA, ROOT),
        (MISNAMED, ROOT),
    ],
)
def test_other_chains_are_untrusted(chain: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(UntrustedSigner):
        verify_signer(tuple(der(one) for one in chain), ROOT_SHA256)


@pytest.mark.filterwarnings("ignore:Parsed a")
@settings(max_examples=300)
@given(changed(der(SIGNER)))
def test_a_changed_signer_is_untrusted(signer: bytes) -> None:
    """But for the count of unused bits in the signature, which a certificate's signature does not cover."""
    try:
        verify_signer((signer, der(ROOT)), ROOT_SHA256)
    except UntrustedSigner:
        return
    certificate = x509.load_der_x509_certificate(signer)
    assert certificate.tbs_certificate_bytes == SIGNER.tbs_certificate_bytes
    assert certificate.signature == SIGNER.signature


@pytest.mark.filterwarnings("ignore:Parsed a")
@settings(max_examples=300)
@given(changed(der(ROOT)))
def test_a_changed_root_never_lends_its_trust_to_another_key(root: bytes) -> None:
    try:
        key = verify_signer((der(SIGNER), root), ROOT_SHA256)
    except UntrustedSigner:
        return
    assert spki_of(key) == spki_of(SIGNER_KEY.public_key())


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_arbitrary_certificates_are_untrusted(signer: bytes, root: bytes) -> None:
    with pytest.raises(UntrustedSigner):
        verify_signer((signer, root), ROOT_SHA256)


def test_a_certificate_of_an_impossible_version_is_untrusted() -> None:
    data = der(ROOT)
    at = data.index(bytes.fromhex("a003020102")) + 4
    with pytest.raises(UntrustedSigner):
        verify_signer((der(SIGNER), data[:at] + b"\1" + data[at + 1 :]), ROOT_SHA256)


def test_a_thumbprint_is_that_of_the_whole_certificate() -> None:
    assert thumbprint(der(SIGNER)) != thumbprint(der(SUB_CA))
    assert len(thumbprint(der(SIGNER))) == 32
