"""TPM sessions: what is signed binds secret, connection, server, device and epoch."""

import pytest

from admittance.errors import SignatureInvalid
from admittance.protocol.signing import SoftwareSigner
from admittance.protocol.tpm.session import sign_session, signing_input, verify_session
from admittance.wire import cbor
from tests.tpm_material import p256

SIGNER = SoftwareSigner(p256("session"))
GOOD = {
    "secret": bytes(range(32)),
    "connection_nonce": bytes(range(32, 64)),
    "server_certificate_sha256": bytes(range(64, 96)),
    "device_id": "AD" + "A" * 20,
    "epoch": 3,
}


def test_a_session_is_good_for_what_it_was_signed_for() -> None:
    data = signing_input(**GOOD)
    verify_session(sign_session(SIGNER, data), SIGNER.spki, data)
    assert cbor.decode(data) == ["admittance/tpm-session/1", *GOOD.values()]


@pytest.mark.parametrize(
    "change",
    [
        {"secret": bytes(32)},
        {"connection_nonce": bytes(32)},
        {"server_certificate_sha256": bytes(32)},
        {"device_id": "AD" + "B" * 20},
        {"epoch": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_and_for_nothing_else(change: dict[str, object]) -> None:
    signature = sign_session(SIGNER, signing_input(**GOOD))
    with pytest.raises(SignatureInvalid):
        verify_session(signature, SIGNER.spki, signing_input(**(GOOD | change)))


@pytest.mark.parametrize("spki", [b"", SoftwareSigner(p256("another")).spki])
def test_another_key(spki: bytes) -> None:
    data = signing_input(**GOOD)
    with pytest.raises(SignatureInvalid):
        verify_session(sign_session(SIGNER, data), spki, data)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65)])
def test_no_signature(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_session(signature, SIGNER.spki, signing_input(**GOOD))
