"""The body of `prov-session`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.protocomm import session
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.session import Command0, Command1, OtherScheme, Response0, Response1

FAILURES = st.sampled_from([status for status in Status if status is not Status.SUCCESS])
USERNAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=16)


@given(USERNAMES, st.binary(min_size=384, max_size=384))
def test_command0(username: str, public: bytes) -> None:
    command = Command0(username, public)
    assert session.decode_command(session.encode_command(command)) == command


@given(st.binary(min_size=64, max_size=64))
def test_command1(proof: bytes) -> None:
    assert session.decode_command(session.encode_command(Command1(proof))) == Command1(proof)


@given(st.binary(min_size=384, max_size=384), st.binary(min_size=1, max_size=64))
def test_response0(public: bytes, salt: bytes) -> None:
    response = Response0(Status.SUCCESS, public, salt)
    assert session.decode_response0(session.encode_response(response)) == response


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=12, max_size=12))
def test_response1(proof: bytes, nonce: bytes) -> None:
    response = Response1(Status.SUCCESS, proof, nonce)
    assert session.decode_response1(session.encode_response(response)) == response


@given(FAILURES)
def test_failures_carry_their_status_alone(status: Status) -> None:
    assert session.decode_response0(session.encode_response(Response0(status))) == Response0(status)
    assert session.decode_response1(session.encode_response(Response1(status))) == Response1(status)


@given(st.binary(max_size=600))
def test_decoders_raise_malformed_and_nothing_else(data: bytes) -> None:
    for decode in (session.decode_command, session.decode_response0, session.decode_response1):
        try:
            decode(data)
        except Malformed:
            continue


def test_each_truncation_is_malformed() -> None:
    whole = session.encode_command(Command0("user", b"\x11" * 384))
    for size in range(3, len(whole)):
        with pytest.raises(Malformed):
            session.decode_command(whole[:size])


@pytest.mark.parametrize(
    "command",
    [
        Command0("user", b"\x11" * 383),
        Command0("user", b"\x11" * 385),
        Command0("user", b""),
        Command0("", b"\x11" * 384),
        Command0("x" * 65, b"\x11" * 384),
        Command1(b""),
        Command1(b"\x11" * 63),
        Command1(b"\x11" * 65),
    ],
)
def test_fields_have_exact_lengths(command: Command0 | Command1) -> None:
    with pytest.raises(Malformed):
        session.decode_command(session.encode_command(command))


@pytest.mark.parametrize(("proof", "nonce"), [(b"", b"\x11" * 12), (b"\x11" * 64, b""), (b"\x11" * 64, b"\x11" * 13)])
def test_successful_responses_have_exact_lengths(proof: bytes, nonce: bytes) -> None:
    with pytest.raises(Malformed):
        session.decode_response1(session.encode_response(Response1(Status.SUCCESS, proof, nonce)))


@pytest.mark.parametrize(("public", "salt"), [(b"", b"\x11" * 16), (b"\x11" * 384, b""), (b"\x11" * 384, b"s" * 65)])
def test_successful_challenges_have_exact_lengths(public: bytes, salt: bytes) -> None:
    with pytest.raises(Malformed):
        session.decode_response0(session.encode_response(Response0(Status.SUCCESS, public, salt)))


def test_a_response_is_no_command_and_the_other_way_round() -> None:
    response = session.encode_response(Response1(Status.CRYPTO_ERROR))
    command = session.encode_command(Command1(b"\x11" * 64))
    with pytest.raises(Malformed):
        session.decode_command(response)
    with pytest.raises(Malformed):
        session.decode_response0(response)
    for decode in (session.decode_response0, session.decode_response1):
        with pytest.raises(Malformed):
            decode(command)


def test_other_schemes_are_named() -> None:
    assert session.decode_command(b"\x10\x01") == OtherScheme(1)
    assert session.decode_command(b"") == OtherScheme(0)


def test_username_must_be_utf8() -> None:
    data = session.encode_command(Command0("user", b"\x11" * 384)).replace(b"user", b"us\xffr")
    with pytest.raises(Malformed):
        session.decode_command(data)


def test_bodies_have_a_bound() -> None:
    whole = session.encode_command(Command1(b"\x11" * 64))
    # An unknown field of 4000 bytes (number 15, length-delimited) that a parser would pass over.
    padded = whole + b"\x7a\xa0\x1f" + bytes(4000)
    assert len(padded) < 4096
    assert session.decode_command(padded) == Command1(b"\x11" * 64)
    with pytest.raises(Malformed):
        session.decode_command(padded + b"\x7a\x64" + bytes(100))
