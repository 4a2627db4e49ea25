"""Redirect URIs: what may be registered, and what is taken for what was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import InvalidRequest, Malformed
from admittance.server.access.rfc8252 import check_registered, choose, form_action

REGISTERED = ("https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:80/cb", "org.example.app:/cb")


@given(st.text(max_size=60))
def test_nothing_but_what_was_registered_is_chosen(asked: str) -> None:
    try:
        chosen = choose(asked, REGISTERED)
    except InvalidRequest:
        return
    assert chosen == asked
    assert asked in REGISTERED or asked.startswith(("http://127.0.0.1", "http://[::1]"))


@given(st.integers(min_value=1, max_value=65535))
def test_a_loopback_address_may_have_any_port(port: int) -> None:
    for host in ("127.0.0.1", "[::1]"):
        assert choose(f"http://{host}:{port}/cb", REGISTERED) == f"http://{host}:{port}/cb"


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:08/cb",
        "http://127.0.0.1:80/other",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost/cb",
        "https://127.0.0.1:80/cb",
        "https://app.example:443/cb",
        "",
    ],
)
def test_what_only_looks_alike_is_refused(asked: str) -> None:
    with pytest.raises(InvalidRequest):
        choose(asked, REGISTERED)


def test_without_a_redirect_uri_the_only_one_is_meant() -> None:
    assert choose(None, REGISTERED[:1]) == REGISTERED[0]
    with pytest.raises(InvalidRequest):
        choose(None, REGISTERED)


@given(st.text(max_size=40))
def test_a_registered_uri_puts_nothing_else_into_a_pages_policy(text: str) -> None:
    for uri in (f"https://{text}", f"{text}:/cb", f"http://127.0.0.1{text}"):
        try:
            check_registered(uri)
        except Malformed:
            continue
        assert not set(form_action(uri)) & set(" ;,'\"\n\t")
