"""The maps of ACE-OAuth: examples of the RFCs, what must be refused, and that what is written is read."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import ace, cbor
from admittance.wire.ace import (
    AuthzInfo,
    AuthzInfoAnswer,
    ErrorResponse,
    RequestHints,
    TokenRequest,
    TokenResponse,
)
from admittance.wire.channel import GET, PUT, Permission
from admittance.wire.cwt import KeyIdConfirmation, OscoreConfirmation

TOKEN, NONCE = bytes(range(16)), bytes(range(8))
KINDS = (AuthzInfo, AuthzInfoAnswer, RequestHints, TokenRequest, TokenResponse, ErrorResponse)

ids = st.binary(max_size=ace.MAX_ID_BYTES)
nonces = st.binary(min_size=ace.MIN_NONCE_BYTES, max_size=ace.MAX_NONCE_BYTES)
texts = st.text(max_size=40)
short = st.binary(max_size=64)
permissions = st.builds(Permission, st.text(max_size=30).map("/".__add__), st.integers(1, 31))
scopes = texts | st.lists(permissions, min_size=1, max_size=4).map(tuple)
confirmations = (
    st.none()
    | st.builds(KeyIdConfirmation, st.binary(min_size=1, max_size=8))
    | st.builds(
        OscoreConfirmation, st.binary(max_size=16), st.binary(max_size=32), salt=st.none() | st.binary(max_size=8)
    )
)
numbers = st.none() | st.integers(0, 2**53)
messages = (
    st.builds(AuthzInfo, st.binary(min_size=1, max_size=64), nonces, ids)
    | st.builds(AuthzInfo, st.binary(min_size=1, max_size=64))
    | st.builds(AuthzInfoAnswer, nonces, ids)
    | st.builds(RequestHints, st.text(min_size=1, max_size=40), texts, scopes, short, short)
    | st.builds(TokenRequest, st.integers(0, 100), texts, short, texts, scopes, confirmations, st.booleans(), short)
    | st.builds(
        TokenResponse,
        st.binary(min_size=1, max_size=64),
        numbers,
        scopes,
        numbers,
        numbers,
        confirmations,
        confirmations,
    )
    | st.builds(ErrorResponse, st.integers(0, 8), texts)
)


@given(messages)
def test_what_is_written_is_read(message: AuthzInfo) -> None:
    assert type(message).decode(message.encode()) == message


@given(
    st.sampled_from(KINDS),
    st.binary(max_size=80)
    | st.builds(
        cbor2.dumps, st.dictionaries(st.integers(0, 50), st.integers() | st.binary() | st.text() | st.none())
    ),
)
def test_anything_else_is_malformed(kind: type[AuthzInfo], data: bytes) -> None:
    try:
        read = kind.decode(data)
    except Malformed:
        return
    assert kind.decode(read.encode()) == read


def test_authz_info_has_the_labels_of_rfc_9203() -> None:
    assert cbor2.loads(AuthzInfo(TOKEN, NONCE, b"\x16\x45").encode()) == {1: TOKEN, 40: NONCE, 43: b"\x16\x45"}
    assert cbor2.loads(AuthzInfoAnswer(NONCE, b"\0\0").encode()) == {42: NONCE, 44: b"\0\0"}
    assert cbor2.loads(AuthzInfo(TOKEN).encode()) == {1: TOKEN}


def test_an_id_may_have_no_bytes() -> None:
    assert AuthzInfo.decode(AuthzInfo(TOKEN, NONCE, b"").encode()).client_id == b""


def test_hints_are_those_of_rfc_9200() -> None:
    """The example of section 5.3, figure 3, with its values for their names."""
    hints = RequestHints(
        "coaps://as.example.com/token", "coaps://rs.example.com", "rTempC", cnonce=bytes.fromhex("e0a156bb3f")
    )
    expected = {
        1: "coaps://as.example.com/token",
        5: "coaps://rs.example.com",
        9: "rTempC",
        39: bytes.fromhex("e0a156bb3f"),
    }
    assert cbor2.loads(hints.encode()) == expected


def test_a_token_request_is_that_of_rfc_9200() -> None:
    """The example of section 5.8.1, figure 5, in CBOR."""
    request = TokenRequest(client_id="myclient", audience="tempSensor4711")
    assert cbor2.loads(request.encode()) == {24: "myclient", 33: 2, 5: "tempSensor4711"}
    assert TokenRequest.decode(cbor.encode({24: "myclient", 5: "tempSensor4711"})) == request


def test_a_token_response_is_that_of_rfc_9203() -> None:
    """The example of section 3.2, figure 4: a token, the profile, and the input material of the client's context."""
    secret = bytes.fromhex("f9af838368e353e78888e1426bd94e6f")
    response = TokenResponse(TOKEN, 3600, profile=ace.COAP_OSCORE, confirmation=OscoreConfirmation(b"\x01", secret))
    assert cbor2.loads(response.encode()) == {1: TOKEN, 2: 3600, 38: 2, 8: {4: {0: b"\x01", 2: secret}}}


def test_a_public_key_may_be_asked_for_and_told() -> None:
    key = KeyIdConfirmation(b"kid")
    assert cbor2.loads(TokenRequest(confirmation=key).encode())[4] == {3: b"kid"}
    assert cbor2.loads(TokenResponse(TOKEN, server_confirmation=key).encode())[41] == {3: b"kid"}


def test_a_scope_may_be_aif() -> None:
    scope = (Permission("/lock", GET | PUT),)
    encoded = TokenRequest(scope=scope).encode()
    assert cbor2.loads(cbor2.loads(encoded)[9]) == [["/lock", 5]]
    assert TokenRequest.decode(encoded).scope == scope


GOOD: dict[int, object] = {1: TOKEN, 40: NONCE, 43: b"\x01"}


@pytest.mark.parametrize(
    "fields",
    [
        {1: TOKEN, 40: NONCE},
        {1: TOKEN, 43: b"\x01"},
        {40: NONCE, 43: b"\x01"},
        GOOD | {1: "text"},
        GOOD | {1: b""},
        GOOD | {1: bytes(ace.MAX_TOKEN_BYTES + 1)},
        GOOD | {40: bytes(7)},
        GOOD | {40: bytes(33)},
        GOOD | {43: bytes(8)},
        GOOD | {42: NONCE},
        GOOD | {"nonce1": NONCE},
        [TOKEN],
        {},
    ],
)
def test_an_authz_info_request_lacks_nothing_and_has_nothing_else(fields: object) -> None:
    with pytest.raises(Malformed):
        AuthzInfo.decode(cbor.encode(fields))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AuthzInfoAnswer, {42: NONCE}),
        (AuthzInfoAnswer, {44: b"\x01"}),
        (AuthzInfoAnswer, {42: NONCE, 44: 1}),
        (RequestHints, {5: "audience"}),
        (RequestHints, {1: ""}),
        (TokenRequest, {33: True}),
        (TokenRequest, {33: -1}),
        (TokenRequest, {38: 2}),
        (TokenRequest, {4: {}}),
        (TokenRequest, {9: b"\x80"}),
        (TokenResponse, {2: 3600}),
        (TokenResponse, {1: TOKEN, 34: "PoP"}),
        (ErrorResponse, {31: "no error"}),
        (ErrorResponse, {30: "invalid_request"}),
    ],
)
def test_parameters_have_their_types(kind: type[AuthzInfo], fields: dict[int, object]) -> None:
    with pytest.raises(Malformed):
        kind.decode(cbor.encode(fields))


def test_secrets_are_not_shown() -> None:
    shown = repr((TokenRequest(client_secret=b"hidden"), TokenResponse(b"hidden")))
    assert "hidden" not in shown
