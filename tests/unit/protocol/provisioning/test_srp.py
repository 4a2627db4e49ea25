"""The handshakes of SRP-6a against each other; the arithmetic is held to RFC 5054 in `tests/vectors`."""

import random
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import AuthenticationFailed, KeyRefused, Malformed
from admittance.protocol.provisioning.srp import (
    PROVISIONING_SUITE,
    ClientHandshake,
    ServerHandshake,
    Suite,
    draw_exponent,
    draw_salt,
)

# The 1024-bit group of RFC 5054, appendix A, so that the tests are quick.
SUITE = Suite(
    n=int(
        "EEAF0AB9ADB38DD69C33F80AFA8FC5E86072618775FF3C0B9EA2314C9C256576D674DF7496EA81D3383B4813D692C6E0"
        "E0D5D8E250B98BE48E495C1D6089DAD15DC7D7B46154D6B6CE8EF4AD69B15D4982559B297BCF1885C529F566660E57EC"
        "68EDBC3C05726CC02FD4CBF4976EAA9AFD5138FE8376435B9FC61D2FC0EB06E3",
        16,
    ),
    g=2,
    hash_name="sha512",
)


def handshakes(username: str, right: str, tried: str) -> tuple[ClientHandshake, ServerHandshake]:
    draw = secrets.token_bytes
    client = ClientHandshake.start(SUITE, username=username, password=tried, random=draw)
    salt = draw_salt(draw)
    server = ServerHandshake.start(
        SUITE,
        username=username,
        salt=salt,
        verifier=SUITE.verifier(username, right, salt),
        client_public=client.client_public,
        random=draw,
    )
    return client, server


@given(st.text(max_size=20), st.text(max_size=20))
def test_the_right_password_agrees(username: str, password: str) -> None:
    client, server = handshakes(username, password, password)
    proof = client.answer(server.salt, server.server_public)
    of_server, device_proof = server.finish(proof.proof)
    assert proof.check(device_proof) == of_server


@given(st.text(max_size=8), st.text(max_size=8))
def test_another_password_does_not(right: str, tried: str) -> None:
    if right == tried:
        tried += "x"
    client, server = handshakes("user", right, tried)
    proof = client.answer(server.salt, server.server_public)
    with pytest.raises(AuthenticationFailed):
        server.finish(proof.proof)


@pytest.mark.parametrize("proof", [b"", b"\0" * 64, b"\0" * 63, b"\0" * 65])
def test_server_refuses_a_made_up_proof(proof: bytes) -> None:
    _, server = handshakes("user", "p", "p")
    with pytest.raises(AuthenticationFailed):
        server.finish(proof)


def test_server_refuses_each_flipped_bit_of_a_proof() -> None:
    client, server = handshakes("user", "p", "p")
    proof = client.answer(server.salt, server.server_public).proof
    for position in range(64):
        changed = proof[:position] + bytes([proof[position] ^ 1]) + proof[position + 1 :]
        with pytest.raises(AuthenticationFailed):
            server.finish(changed)


def test_client_refuses_a_server_that_does_not_know_the_verifier() -> None:
    client, server = handshakes("user", "p", "p")
    proof = client.answer(server.salt, server.server_public)
    for made_up in (b"", b"\0" * 64, proof.proof):
        with pytest.raises(AuthenticationFailed):
            proof.check(made_up)


@pytest.mark.parametrize("multiple", [0, 1])
def test_public_values_that_are_zero_modulo_n_are_refused(multiple: int) -> None:
    public = SUITE.pad(multiple * SUITE.n)
    client, server = handshakes("user", "p", "p")
    with pytest.raises(KeyRefused):
        client.answer(server.salt, public)
    with pytest.raises(KeyRefused):
        SUITE.check_public(public)


@pytest.mark.parametrize("length", [0, 1, 127, 129, 384])
def test_public_values_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(Malformed):
        SUITE.check_public(b"\x11" * length)


def test_public_values_never_begin_with_zero() -> None:
    """With this small group an unlucky draw is common, so drawing again is exercised."""
    small = Suite(n=0x01FFEF, g=5, hash_name="sha256")
    draw = random.Random(7).randbytes
    for _ in range(20):
        client = ClientHandshake.start(small, username="u", password="p", random=draw)
        server = ServerHandshake.start(
            small, username="u", salt=b"s", verifier=77, client_public=client.client_public, random=draw
        )
        assert client.client_public[0] != 0
        assert server.server_public[0] != 0


def test_salt_never_begins_with_zero() -> None:
    unlucky = iter([b"\0" * 16, b"\0" + b"\1" * 15, b"\1" * 16])
    assert draw_salt(lambda size: next(unlucky)) == b"\1" * 16


def test_exponents_have_256_bits() -> None:
    assert draw_exponent(lambda size: b"\0" * size).bit_length() == 256
    assert draw_exponent(lambda size: b"\xff" * size).bit_length() == 256


def test_the_provisioning_group_is_that_of_the_facts() -> None:
    assert PROVISIONING_SUITE.length_bytes == 384
    assert PROVISIONING_SUITE.n.bit_length() == 3072
    assert PROVISIONING_SUITE.g == 5


def test_repr_holds_no_secret() -> None:
    client, server = handshakes("user", "secret-password", "secret-password")
    agreement, _ = server.finish(client.answer(server.salt, server.server_public).proof)
    text = repr(client) + repr(server) + repr(agreement)
    assert "secret-password" not in text
    assert str(client.exponent) not in text
    assert str(server.verifier) not in text
    assert agreement.key.hex() not in text
    assert repr(agreement.key) not in text
