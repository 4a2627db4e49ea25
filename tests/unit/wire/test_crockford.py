import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import crockford

symbols = st.text(crockford.ALPHABET, max_size=40)


@given(st.binary(max_size=40))
def test_bytes_come_back(data: bytes) -> None:
    text = crockford.encode(data)
    assert crockford.decode(text) == data
    assert len(text) == -(-len(data) * 8 // 5)


@given(st.binary(max_size=40))
def test_a_text_comes_back_as_a_person_types_it(data: bytes) -> None:
    text = crockford.encode(data)
    typed = " ".join(text).lower().replace("0", "o").replace("1", "l").replace(" ", "-")
    assert crockford.decode(typed) == data
    assert crockford.decode(text.replace("1", "I").replace("0", "O")) == data


@given(symbols)
def test_a_text_has_one_meaning(text: str) -> None:
    try:
        data = crockford.decode(text)
    except Malformed:
        return
    assert crockford.encode(data) == text


@given(st.text(max_size=40))
def test_arbitrary_text_decodes_or_is_malformed(text: str) -> None:
    try:
        data = crockford.decode(text)
    except Malformed:
        return
    assert crockford.encode(data) == crockford.normalise(text)


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\0", "00"), (b"\xff", "ZW"), (b"hello", "D1JPRV3F")])
def test_known_texts(data: bytes, text: str) -> None:
    assert crockford.encode(data) == text
    assert crockford.decode(text) == data


@pytest.mark.parametrize("text", ["U0", "0", "000", "01", "Z!", "ß0", "İ0", "0\n0", "٠٠"])
def test_malformed_texts(text: str) -> None:
    with pytest.raises(Malformed):
        crockford.decode(text)
