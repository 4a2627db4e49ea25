"""What a device answers, read by its content format."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.client.channel.content import Content
from admittance.client.channel.refusals import check_success
from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    Conflict,
    DeviceRefused,
    Malformed,
    NotAllowed,
    NotFound,
    Throttled,
    TooLarge,
    Unavailable,
)
from admittance.wire.coap import codes, formats, options
from admittance.wire.coap.message import CoapMessage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON.filter(lambda value: value not in (float("inf"), float("-inf"))))
def test_values_survive_both_formats(value: object) -> None:
    assert Content.of_cbor(value).plain() == value
    assert Content.of_cbor(value).cbor() == value


def test_json_and_text_are_read_by_their_format() -> None:
    assert Content.of_json({"a": [1]}).plain() == {"a": [1]}
    assert Content.of_text("21.5 °C").plain() == "21.5 °C"
    assert Content(b"</info>", formats.LINK).plain() == "</info>"


def test_what_json_has_no_form_for_is_shown_as_text() -> None:
    pack = cbor2.dumps([{2: 21.5, -2: b"\x01\x02", 0: cbor2.CBORTag(32, "urn:x")}])
    [shown] = Content(pack, formats.SENML_CBOR).plain()
    assert shown["2"] == 21.5
    assert shown["-2"] == "AQI"


def test_other_formats_are_bytes() -> None:
    assert Content(b"\xff\x00", formats.OCTETS).plain() == "_wA"
    assert Content(b"\xff\x00", None).plain() == "_wA"
    assert Content(b"", None).plain() == ""


@given(st.binary(max_size=64), st.sampled_from([None, 0, 40, 42, 50, 60, 110, 112, 65000]))
def test_no_payload_breaks_it(payload: bytes, content_format: int | None) -> None:
    try:
        Content(payload, content_format).plain()
    except Malformed:
        return


@pytest.mark.parametrize("value", [object(), {1, object()}])
def test_what_has_no_form_is_named(value: object) -> None:
    with pytest.raises(Malformed):
        Content.of_cbor(value)
    with pytest.raises(Malformed):
        Content.of_json(value)


REFUSALS = [
    (codes.BAD_REQUEST, Malformed),
    (codes.UNAUTHORIZED, AuthenticationFailed),
    (codes.FORBIDDEN, NotAllowed),
    (codes.NOT_FOUND, NotFound),
    (codes.METHOD_NOT_ALLOWED, DeviceRefused),
    (codes.CONFLICT, Conflict),
    (codes.TOO_LARGE, TooLarge),
    (codes.UNSUPPORTED_FORMAT, DeviceRefused),
    (codes.TOO_MANY_REQUESTS, Throttled),
    (codes.INTERNAL, DeviceRefused),
    (codes.UNAVAILABLE, Unavailable),
    (0xBF, DeviceRefused),
]


@pytest.mark.parametrize(("code", "expected"), REFUSALS)
def test_each_refusal_is_its_own_error(code: int, expected: type[AdmittanceError]) -> None:
    with pytest.raises(expected):
        check_success(CoapMessage(code))


def test_a_success_is_no_error() -> None:
    for code in (codes.CREATED, codes.DELETED, codes.VALID, codes.CHANGED, codes.CONTENT):
        check_success(CoapMessage(code))


def test_the_devices_words_do_not_steer_the_terminal() -> None:
    with pytest.raises(NotAllowed) as refused:
        check_success(CoapMessage(codes.FORBIDDEN, payload=b"\x1b[2Jowners\nonly\xff."))
    assert "\x1b" not in str(refused.value)
    assert "owners only" in str(refused.value)


def test_a_throttled_request_says_how_long_to_wait() -> None:
    with pytest.raises(Throttled) as throttled:
        check_success(CoapMessage(codes.TOO_MANY_REQUESTS, b"", ((options.MAX_AGE, b"\x05"),)))
    assert throttled.value.retry_after_s == 5
