"""The QR of a possession code, in both its forms."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import base64url, possession_qr
from admittance.wire.possession_qr import PossessionQr

QR = PossessionQr(
    name="PROV_ABC234", username="4F2K7M9PQRSTVWXY", pop="0123456789ABCDEFGHJKMNPQRSTVWXYZ", password="s3cretpass"
)
ORIGIN = "https://home.example:8443"

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)


@given(
    WORDS,
    WORDS,
    WORDS,
    st.one_of(st.just(""), st.text(st.characters(codec="utf-8"), min_size=8, max_size=63)),
    st.sampled_from(["softap", "ble"]),
    st.sampled_from([None, ORIGIN]),
)
def test_what_was_encoded_is_decoded(
    name: str, username: str, pop: str, password: str, transport: str, origin: str | None
) -> None:
    qr = PossessionQr(name, username, pop, password, "ble" if transport == "ble" else "softap", origin)
    try:
        text = possession_qr.encode(qr)
    except Malformed:
        assert len(json.dumps([name, username, pop, password])) > 150
        return
    assert possession_qr.decode(text) == qr


@given(st.text(max_size=300))
def test_decoder_raises_malformed_and_nothing_else(text: str) -> None:
    with pytest.raises(Malformed):
        possession_qr.decode(text)


@given(st.binary(max_size=200))
def test_any_fragment_is_decoded_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        possession_qr.decode(f"{ORIGIN}/p#{base64url.encode(data)}")


def test_stock_form_is_what_stock_apps_read() -> None:
    assert json.loads(possession_qr.encode(QR)) == {
        "ver": "v1",
        "name": "PROV_ABC234",
        "username": "4F2K7M9PQRSTVWXY",
        "pop": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
        "transport": "softap",
        "security": "2",
        "password": "s3cretpass",
        "network": "wifi",
    }


def test_url_keeps_the_code_in_its_fragment() -> None:
    qr = PossessionQr(QR.name, QR.username, QR.pop, QR.password, origin=ORIGIN)
    text = possession_qr.encode(qr)
    page, fragment = text.split("#")
    assert page == f"{ORIGIN}/p"
    assert json.loads(base64url.decode(fragment))["pop"] == QR.pop
    assert possession_qr.decode(text) == qr


def _changed(**changes: object) -> str:
    fields = json.loads(possession_qr.encode(QR)) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        _changed(ver="v2"),
        _changed(security="1"),
        _changed(security=2),
        _changed(security=None),
        _changed(username=None),
        _changed(pop=None),
        _changed(pop=""),
        _changed(pop=12345678),
        _changed(name=""),
        _changed(name="x" * 33),
        _changed(transport="wired"),
        _changed(network="thread"),
        _changed(password="short"),
        _changed(surplus="field"),
        possession_qr.encode(QR) + " x",
        "https://home.example/p",
        "https://home.example/p#",
        "http://home.example/p#e30",
        "https://home.example/q#e30",
        "https://user@home.example/p#e30",
        f"{ORIGIN}/p#" + base64url.encode(_changed().encode()) + "=",
        " " + possession_qr.encode(QR),
    ],
)
def test_what_is_no_possession_code(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        possession_qr.decode(text)
    assert QR.pop not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "qr",
    [
        PossessionQr("", "u", "p", ""),
        PossessionQr("n", "", "p", ""),
        PossessionQr("n", "u", "", ""),
        PossessionQr("n", "u", "p", "short"),
        PossessionQr("n", "u", "p", "", origin="http://home.example"),
    ],
)
def test_values_out_of_bounds_are_not_encoded(qr: PossessionQr) -> None:
    with pytest.raises(Malformed):
        possession_qr.encode(qr)


def test_repr_hides_the_code() -> None:
    assert QR.pop not in repr(QR)
    assert QR.password not in repr(QR)
