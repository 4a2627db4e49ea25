"""The reference against RFC 9529's trace, then our two sides against the reference and the trace's bad messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import AuthenticationFailed, Malformed, NotFound, SuiteRefused
from admittance.protocol.channel.edhoc import ChannelKey, ChannelKeys, Initiator, Responder
from admittance.wire import cbor
from admittance.wire.channel import Credential
from tests.vectors.edhoc_reference import (
    Party,
    ReferenceInitiator,
    ReferenceResponder,
    Transcript,
    private_key,
    sequence,
    x_of,
)

TRACE: dict[str, Any] = json.loads(Path(__file__).with_name("edhoc_rfc9529.json").read_text())
PUBLISHED = ("th_2", "th_3", "th_4", "prk_2e", "prk_3e2m", "prk_4e3m", "prk_out", "mac_2", "mac_3")


def traced(name: str) -> bytes:
    return bytes.fromhex(TRACE[name])


def traced_party(role: str) -> Party:
    return Party(private_key(TRACE[role]), traced(f"cred_{role}"), traced(f"id_cred_{role}"))


def traced_initiator() -> ReferenceInitiator:
    peer = traced_party("r")
    return ReferenceInitiator(
        traced_party("i"),
        peer.cred,
        peer.id_cred,
        x_of(peer.private_key),
        private_key(TRACE["x"]),
        traced("c_i"),
        TRACE["suites_i"],
    )


def traced_responder() -> ReferenceResponder:
    peer = traced_party("i")
    ephemeral = private_key(TRACE["y"])
    own = traced_party("r")
    return ReferenceResponder(own, peer.cred, peer.id_cred, x_of(peer.private_key), ephemeral, traced("c_r"))


def test_the_reference_makes_the_trace_byte_for_byte() -> None:
    initiator, responder = traced_initiator(), traced_responder()
    responder.receive_message_1(made("message_1", initiator.message_1()))
    initiator.receive_message_2(made("message_2", responder.message_2()))
    responder.receive_message_3(made("message_3", initiator.message_3()))
    assert initiator.receive_message_4(made("message_4", responder.message_4())) == b""
    for transcript in (initiator.t, responder.t):
        assert {name: getattr(transcript, name).hex() for name in PUBLISHED} == {
            name: TRACE[name] for name in PUBLISHED
        }
        assert transcript.export(0, b"", 16) == traced("oscore_master_secret")
        assert transcript.export(1, b"", 8) == traced("oscore_master_salt")


def made(name: str, message: bytes) -> bytes:
    assert message == traced(name)
    return message


def key_and_party() -> tuple[ChannelKey, Party]:
    key = ec.generate_private_key(ec.SECP256R1())
    credential = ChannelKey(key).credential
    return ChannelKey(key), Party(key, credential.value, cbor.encode({4: credential.kid}))


def agree(keys: ChannelKeys, transcript: Transcript) -> None:
    assert keys.master_secret == transcript.export(0, b"", 16)
    assert keys.master_salt == transcript.export(1, b"", 8)


def reference_initiator(own: Party, peer: Party, c_i: bytes, suites: object = 2) -> ReferenceInitiator:
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    return ReferenceInitiator(own, peer.cred, peer.id_cred, x_of(peer.private_key), ephemeral, c_i, suites)


@pytest.mark.parametrize("c_i", [b"\x00", b"\x17", b"\x20", b"\x37", b"", b"ab", b"1234567"])
@pytest.mark.parametrize("suites", [2, [6, 2]])
def test_the_reference_opens_a_channel_to_our_responder(c_i: bytes, suites: object) -> None:
    (our_key, our_party), (peer_key, peer_party) = key_and_party(), key_and_party()
    initiator = reference_initiator(peer_party, our_party, c_i, suites)
    responder = Responder(our_key, listing(peer_key.credential))
    initiator.receive_message_2(responder.receive_message_1(b"\xf5" + initiator.message_1()))
    message_4, entry = responder.receive_message_3(initiator.c_r + initiator.message_3())
    assert initiator.receive_message_4(message_4) == b""
    assert entry is peer_key.credential
    agree(responder.keys, initiator.t)
    assert (responder.keys.sender_id, responder.keys.recipient_id) == (c_i, initiator.c_r)


@pytest.mark.parametrize("c_r", [b"\x01", b"\x17", b"\x20", b"\x37", b"", b"ab", b"1234567"])
def test_our_initiator_opens_a_channel_to_the_reference(c_r: bytes) -> None:
    (our_key, our_party), (peer_key, peer_party) = key_and_party(), key_and_party()
    responder = ReferenceResponder(
        peer_party,
        our_party.cred,
        our_party.id_cred,
        x_of(our_party.private_key),
        ec.generate_private_key(ec.SECP256R1()),
        c_r,
    )
    initiator = Initiator(our_key, peer_key.credential)
    responder.receive_message_1(initiator.message_1().removeprefix(b"\xf5"))
    payload = initiator.receive_message_2(responder.message_2())
    prefix = c_r if len(c_r) == 1 else cbor.encode(c_r)
    assert payload.startswith(prefix)
    responder.receive_message_3(payload.removeprefix(prefix))
    keys = initiator.receive_message_4(responder.message_4())
    agree(keys, responder.t)
    assert (keys.sender_id, keys.recipient_id) == (c_r, responder.c_i)


@pytest.mark.parametrize("message", TRACE["invalid_message_1"].values(), ids=list(TRACE["invalid_message_1"]))
def test_the_traces_invalid_messages_are_malformed(message: str) -> None:
    responder = Responder(key_and_party()[0], listing())
    with pytest.raises(Malformed):
        responder.receive_message_1(b"\xf5" + bytes.fromhex(message))


def test_a_suite_that_is_not_ours_is_refused() -> None:
    responder = Responder(key_and_party()[0], listing())
    with pytest.raises(SuiteRefused):
        responder.receive_message_1(b"\xf5" + bytes.fromhex(TRACE["unsupported_suite"]["message_1"]))


@pytest.mark.parametrize(("label", "is_critical"), [(0, False), (1, False), (-1, True)])
def test_extra_data_with_message_1_is_ignored_or_refused(label: int, is_critical: bool) -> None:
    (our_key, our_party), (peer_key, peer_party) = key_and_party(), key_and_party()
    initiator = reference_initiator(peer_party, our_party, b"\x05")
    responder = Responder(our_key, listing(peer_key.credential))
    payload = b"\xf5" + initiator.message_1(sequence(label, b"extra"))
    if is_critical:
        with pytest.raises(Malformed):
            responder.receive_message_1(payload)
        return
    initiator.receive_message_2(responder.receive_message_1(payload))
    responder.receive_message_3(initiator.c_r + initiator.message_3())
    agree(responder.keys, initiator.t)


@pytest.mark.parametrize("size", range(0, 130, 3))
def test_whatever_an_initiator_seals_in_message_3_ends_alike(size: int) -> None:
    """Anybody can seal a plaintext for message_3, since its key needs no static key of the initiator's."""
    (our_key, our_party), (peer_key, peer_party) = key_and_party(), key_and_party()
    for plaintext in (bytes(size), b"\xff" * size, b"\x58" * size, b"\xa1" * size, b"\x80" * size):
        initiator = reference_initiator(peer_party, our_party, b"\x05")
        responder = Responder(our_key, listing(peer_key.credential))
        initiator.receive_message_2(responder.receive_message_1(b"\xf5" + initiator.message_1()))
        with pytest.raises((AuthenticationFailed, Malformed)):
            responder.receive_message_3(initiator.c_r + initiator.message_3(plaintext))


def listing(*credentials: Credential):
    def find(kid: bytes) -> Credential:
        for credential in credentials:
            if credential.kid == kid:
                return credential
        raise NotFound("not listed")

    return find
