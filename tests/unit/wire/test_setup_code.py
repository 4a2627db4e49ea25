import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.device_id import device_id
from admittance.wire.setup_code import SetupCode, decode_ndef, encode_ndef, parse_url

DEVICE_ID = device_id(b"an identity key")
CODE = SetupCode("https://home.example:8443", DEVICE_ID)


def test_the_url_names_server_and_device() -> None:
    assert CODE.url == f"https://home.example:8443/d/{DEVICE_ID}"
    assert parse_url(CODE.url) == CODE


def test_the_ndef_message_is_one_short_uri_record() -> None:
    rest = f"home.example:8443/d/{DEVICE_ID}".encode()
    assert encode_ndef(CODE) == b"\xd1\x01" + bytes([len(rest) + 1]) + b"U\x04" + rest


@given(st.binary(max_size=64))
def test_a_setup_code_survives_both_forms(spki: bytes) -> None:
    code = SetupCode("https://h", device_id(spki))
    assert parse_url(code.url) == code
    assert decode_ndef(encode_ndef(code)) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        DEVICE_ID,
        f"http://h/d/{DEVICE_ID}",
        f"https://h/d/{DEVICE_ID}/",
        f"https://h/d/{DEVICE_ID}?x",
        f"https://h/d/{DEVICE_ID.lower()}",
        f"https://h/x/d/{DEVICE_ID}",
        f"https://user@h/d/{DEVICE_ID}",
        "https://h/d/",
        f"https://{'h' * 255}/d/{DEVICE_ID}",
    ],
)
def test_other_texts_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_url(text)


@pytest.mark.parametrize("change", [0, 1, 2, 3, 4])
def test_another_ndef_record_is_malformed(change: int) -> None:
    data = bytearray(encode_ndef(CODE))
    data[change] ^= 1
    with pytest.raises(Malformed):
        decode_ndef(bytes(data))


def test_a_url_too_long_for_a_short_record_is_refused() -> None:
    with pytest.raises(Malformed):
        encode_ndef(SetupCode(f"https://{'h' * 250}", DEVICE_ID))


@given(st.binary(max_size=80))
def test_any_bytes_are_malformed_or_a_setup_code(data: bytes) -> None:
    for candidate in (data, encode_ndef(CODE)[:4] + data):
        with contextlib.suppress(Malformed):
            assert encode_ndef(decode_ndef(candidate)) == candidate


@given(st.text(max_size=60))
def test_any_text_is_malformed_or_a_setup_code(text: str) -> None:
    for candidate in (text, f"https://{text}/d/{DEVICE_ID}"):
        with contextlib.suppress(Malformed):
            assert parse_url(candidate).url == candidate
