"""SRP-6a against RFC 5054, appendix B, and against the independent `srptools`."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from srptools import SRPContext

from admittance import errors
from admittance.protocol.provisioning.srp import (
    PROVISIONING_SUITE,
    ClientHandshake,
    ServerHandshake,
    Suite,
    draw_exponent,
    draw_salt,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "srp_rfc5054.json").read_text())
SUITE = Suite(int(VECTORS["group"]["n"], 16), VECTORS["group"]["g"], VECTORS["group"]["hash"])


def number(name: str) -> int:
    return int(VECTORS["agreement"][name], 16)


def data(name: str) -> bytes:
    return bytes.fromhex(VECTORS["agreement"][name])


def test_multiplier() -> None:
    assert SUITE.multiplier == number("k")


def test_private_key_and_verifier() -> None:
    arguments = VECTORS["agreement"]["I"], VECTORS["agreement"]["P"], data("s")
    assert SUITE.private_key(*arguments) == number("x")
    assert SUITE.verifier(*arguments) == number("v")


def test_public_values() -> None:
    assert SUITE.pad(SUITE.client_public(number("a"))) == data("A")
    assert SUITE.pad(SUITE.server_public(number("b"), number("v"))) == data("B")


def test_scrambler() -> None:
    assert SUITE.scrambler(data("A"), data("B")) == number("u")


def test_both_sides_reach_the_premaster_secret() -> None:
    server = SUITE.server_secret(
        client_public=data("A"), verifier=number("v"), scrambler=number("u"), exponent=number("b")
    )
    client = SUITE.client_secret(
        server_public=data("B"), private_key=number("x"), scrambler=number("u"), exponent=number("a")
    )
    assert server == client == number("S")


@pytest.mark.parametrize("refused", VECTORS["refused"], ids=lambda refused: refused["name"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_refused_public_values(refused: dict[str, Any], side: str) -> None:
    public = bytes.fromhex(refused["public"]) * refused["times"]
    with pytest.raises(errors.AdmittanceError) as caught:
        _meet_public(side, public)
    assert type(caught.value).__name__ == refused["error"]


def _meet_public(side: str, public: bytes) -> None:
    if side == "server":
        ServerHandshake.start(
            SUITE,
            username="alice",
            salt=data("s"),
            verifier=number("v"),
            client_public=public,
            random=secrets.token_bytes,
        )
    else:
        client = ClientHandshake.start(SUITE, username="alice", password="password123", random=secrets.token_bytes)
        client.answer(data("s"), public)


def peer(suite: Suite, username: str, password: str) -> SRPContext:
    """`srptools` over the same group and hash."""
    import hashlib

    hash_function: Callable[..., Any] = getattr(hashlib, suite.hash_name)
    return SRPContext(
        username,
        password,
        prime=f"{suite.n:x}",
        generator=f"{suite.g:x}",
        hash_func=hash_function,
    )


@pytest.mark.parametrize("suite", [SUITE, PROVISIONING_SUITE], ids=["1024 SHA-1", "3072 SHA-512"])
def test_agrees_with_srptools(suite: Suite) -> None:
    username, password = "4F2K", secrets.token_hex(16)
    other = peer(suite, username, password)
    salt = draw_salt(secrets.token_bytes)
    a, b = draw_exponent(secrets.token_bytes), draw_exponent(secrets.token_bytes)
    x = suite.private_key(username, password, salt)
    v = suite.verifier(username, password, salt)
    client_public, server_public = suite.client_public(a), suite.server_public(b, v)
    u = suite.scrambler(suite.pad(client_public), suite.pad(server_public))

    assert other.get_common_password_hash(int.from_bytes(salt)) == x
    assert other.get_common_password_verifier(x) == v
    assert other.get_client_public(client_private=a) == client_public
    assert other.get_server_public(password_verifier=v, server_private=b) == server_public
    assert other.get_common_secret(server_public, client_public) == u
    theirs = other.get_client_premaster_secret(
        password_hash=x, server_public=server_public, client_private=a, common_secret=u
    )
    ours = suite.server_secret(client_public=suite.pad(client_public), verifier=v, scrambler=u, exponent=b)
    assert theirs == ours
    assert other.get_common_session_key(theirs) == suite.session_key(ours)
