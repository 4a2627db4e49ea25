from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from admittance.errors import InvalidRequest
from admittance.server.access.form import MAX_PARAMETERS, query

PIECES = st.sampled_from(["a", "b", "é", "=", "&", "+", "%20", "%C3%A9", "%ff", "%3D", "%zz", "%", ";", "€"])


def parameters(text: str) -> dict[str, str]:
    return dict(query(Request({"type": "http", "query_string": text.encode()})))


@given(st.lists(PIECES, min_size=1, max_size=20).map("".join))
@example("a=b&&c=d")
@example("a=b&c")
@example("=a")
def test_parameters_are_those_of_the_standard_library(text: str) -> None:
    try:
        text.encode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        with pytest.raises(InvalidRequest):
            parameters(text)
        return
    if len(dict(pairs)) != len(pairs):
        with pytest.raises(InvalidRequest, match="repeated"):
            parameters(text)
        return
    assert parameters(text) == {name: value for name, value in pairs if value}


def test_parameters_are_limited_in_number() -> None:
    most = "&".join(f"p{number}=1" for number in range(MAX_PARAMETERS))
    assert len(parameters(most)) == MAX_PARAMETERS
    with pytest.raises(InvalidRequest, match="too many"):
        parameters(f"{most}&more=1")


@pytest.mark.parametrize("text", ["a=%00", "a=b%0Ac", "%7F=a"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="control"):
        parameters(text)
