"""What a peer that has the keys may have protected, and should not have."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, Replayed
from admittance.protocol.channel.oscore import AES_CCM_16_64_128
from admittance.protocol.channel.oscore.keys import DerivedKeys, Numbering
from admittance.wire import oscore
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from tests.unit.protocol.channel.oscore.pair import REQUEST, SECRET, client, server

KEYS = DerivedKeys.derive(SECRET, b"", b"\x0a", b"\x0b", None, AES_CCM_16_64_128)


def protected(plaintext: bytes, number: int = 1) -> CoapMessage:
    """A request of the client's that holds just these bytes."""
    numbering = Numbering(b"\x0a", KEYS.common_iv, AES_CCM_16_64_128)
    partial_iv = oscore.encode_partial_iv(number)
    nonce, aad = numbering.request(number, partial_iv)
    ciphertext = AESCCM(KEYS.sender, 8).encrypt(nonce, plaintext, aad)
    value = oscore.encode(oscore.OscoreOption(partial_iv, b"\x0a"))
    return CoapMessage(codes.POST, options=((opt.OSCORE, value),), payload=ciphertext)


@pytest.mark.parametrize("plaintext", ["", "00", "45", "ff00", "ff", "e1", "01ff", "01f0", "0193616263"])
def test_malformed_and_seen(plaintext: str) -> None:
    responder = server()
    outer = protected(bytes.fromhex(plaintext))
    with pytest.raises(Malformed):
        responder.unprotect_request(outer)
    with pytest.raises(Replayed):
        responder.unprotect_request(outer)


@given(st.binary(max_size=30))
def test_any_plaintext_is_a_request_or_malformed(plaintext: bytes) -> None:
    try:
        message, _ = server().unprotect_request(protected(plaintext))
    except Malformed:
        return
    assert codes.is_request(message.code)


def test_a_request_is_no_response() -> None:
    requester, responder = client(), server()
    outer, sent = requester.protect_request(REQUEST)
    _, received = responder.unprotect_request(outer)
    keys = DerivedKeys.derive(SECRET, b"", b"\x0b", b"\x0a", None, AES_CCM_16_64_128)
    ciphertext = AESCCM(keys.sender, 8).encrypt(received.nonce, b"\x01", received.aad)
    answer = CoapMessage(codes.CHANGED, options=((opt.OSCORE, b""),), payload=ciphertext)
    with pytest.raises(Malformed):
        requester.unprotect_response(answer, sent)


def test_aad_of_rfc_8613_section_5_4() -> None:
    _, aad = Numbering(b"\0", bytes(13), AES_CCM_16_64_128).request(0x25, b"\x25")
    assert aad.hex() == "8368456e63727970743040498501810a4100412540"
