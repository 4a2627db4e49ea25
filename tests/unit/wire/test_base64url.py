import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import base64url


@given(st.binary(max_size=100))
def test_what_was_encoded_decodes_to_itself(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data), length=len(data)) == data


@given(st.text(max_size=40))
def test_any_text_decodes_or_is_malformed_and_has_one_form(text: str) -> None:
    try:
        data = base64url.decode(text)
    except Malformed:
        return
    assert base64url.encode(data) == text


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A+/A", "AAAA\n", "é"])
def test_padding_stray_bits_and_other_alphabets_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        base64url.decode(text)


def test_another_length_is_refused() -> None:
    with pytest.raises(Malformed):
        base64url.decode("AAAA", length=32)
