"""CBOR Web Tokens: one value, one encoding; everything else is Malformed."""

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import KeyRefused, Malformed
from admittance.protocol.signing import spki_of
from admittance.wire import cbor, cwt
from admittance.wire.channel import Permission
from admittance.wire.cose import ALG, EPHEMERAL_KEY, IV, Encrypt, Recipient, protected_header
from admittance.wire.cose_key import PublicCoseKey, SymmetricCoseKey
from admittance.wire.cwt import (
    Claims,
    EncryptedKeyConfirmation,
    KeyConfirmation,
    KeyIdConfirmation,
    OfflineStanding,
    OscoreConfirmation,
)
from tests.wire_messages import changed

SPKI = spki_of(ec.derive_private_key(7, ec.SECP256R1()).public_key())

short = st.binary(min_size=1, max_size=32)
texts = st.just("") | st.text(min_size=1, max_size=40)
times = st.none() | st.integers(0, cwt.MAX_TIME)
keys = st.builds(PublicCoseKey, st.just(SPKI), st.just(b"") | short) | st.builds(
    SymmetricCoseKey, short, st.just(b"") | short
)
encrypted_keys = st.builds(
    lambda ciphertext, nonce, ephemeral: Encrypt(
        protected_header({ALG: 1}),
        ciphertext,
        Recipient(protected_header({ALG: -25}), {EPHEMERAL_KEY: {-2: ephemeral}}),
        {IV: nonce},
    ),
    short,
    short,
    short,
)
confirmations = (
    st.builds(KeyConfirmation, keys)
    | st.builds(EncryptedKeyConfirmation, encrypted_keys)
    | st.builds(KeyIdConfirmation, short)
    | st.builds(
        OscoreConfirmation,
        short,
        short,
        st.none() | st.sampled_from([1, 10]),
        st.none() | st.binary(max_size=16),
        st.none() | st.binary(max_size=16),
    )
)
permissions = st.builds(Permission, st.text("abc/", max_size=12).map(lambda tail: f"/{tail}"), st.integers(1, 31))
scopes = texts | st.lists(permissions, min_size=1, max_size=4).map(tuple)
claims_sets = st.builds(
    Claims,
    issuer=texts,
    subject=texts,
    audience=texts,
    expires_at=times,
    not_before=times,
    issued_at=times,
    cti=st.just(b"") | short,
    confirmation=st.none() | confirmations,
    scope=scopes,
    cnonce=st.just(b"") | short,
    exi_s=times,
    standing=st.none()
    | st.builds(
        OfflineStanding,
        st.integers(0, cwt.MAX_TIME),
        st.integers(0, cwt.MAX_TIME),
        st.binary(min_size=16, max_size=16),
    ),
)


@given(claims_sets)
def test_round_trip(claims: Claims) -> None:
    assert cwt.decode(cwt.encode(claims)) == claims


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with suppress(Malformed, KeyRefused):
        assert cwt.encode(cwt.decode(data)) == data


@given(claims_sets.map(cwt.encode).flatmap(changed))
def test_changed_bytes_are_refused_or_mean_something_else(data: bytes) -> None:
    with suppress(Malformed, KeyRefused):
        assert cwt.encode(cwt.decode(data)) == data


@pytest.mark.parametrize(
    "values",
    [
        {1: ""},
        {1: b"as"},
        {4: -1},
        {4: True},
        {7: b""},
        {7: b"x" * 65},
        {8: {}},
        {8: {3: b"a", 4: {0: b"i", 2: b"m"}}},
        {8: {3: b""}},
        {8: {2: b"bytes"}},
        {8: {2: [b"\xa1\x01\x01", {}, b"c"]}},
        {8: {2: [b"\xa1\x01\x01", {}, b"c", []]}},
        {8: {2: [b"\xa1\x01\x01", {}, b"c", [[b"\xa1\x01\x38\x18", {}, b"a wrapped key"]]]}},
        {8: {2: [b"", {}, b"c", [[b"\xa1\x01\x38\x18", {}, b""]]]}},
        {8: {4: {0: b"i"}}},
        {8: {4: {0: b"i", 2: b"m", 3: 5}}},
        {8: {4: {0: b"i", 2: b"m", 4: True}}},
        {8: {1: {1: 4, -1: b""}}},
        {8: {1: {1: 4, -1: b"k", 4: [1]}}},
        {9: cbor.encode([])},
        {9: cbor.encode([["lock", 1]])},
        {9: cbor.encode([["/lock", 0]])},
        {9: cbor.encode([["/lock", 32]])},
        {9: 1},
        {41: 1},
        {-65537: [1, 2]},
        {-65537: [1, -2, bytes(16)]},
        {-65537: [1, 2, bytes(15)]},
        {-65537: [True, 2, bytes(16)]},
        {"iss": "as"},
    ],
)
def test_what_is_not_allowed(values: dict[object, object]) -> None:
    with pytest.raises(Malformed):
        cwt.decode(cbor.encode(values))


def test_a_private_key_and_a_point_off_the_curve_are_refused() -> None:
    x, y = SPKI[-64:-32], SPKI[-32:]
    with pytest.raises(Malformed):
        cwt.decode(cbor.encode({8: {1: {1: 2, -1: 1, -2: x, -3: y, -4: b"d" * 32}}}))
    with pytest.raises(Malformed):
        cwt.decode(cbor.encode({8: {1: {1: 2, -1: 1, -2: y, -3: x}}}))


def test_another_curve_is_refused() -> None:
    with pytest.raises(KeyRefused):
        cwt.decode(cbor.encode({8: {1: {1: 2, -1: 2, -2: b"x" * 48, -3: b"y" * 48}}}))


def test_secrets_are_not_shown() -> None:
    shown = repr(OscoreConfirmation(b"id", b"very secret")) + repr(SymmetricCoseKey(b"very secret", b"kid"))
    assert "very secret" not in shown
