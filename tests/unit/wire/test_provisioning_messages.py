from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor, message
from admittance.wire.message import Message
from admittance.wire.provisioning_messages import (
    ConfigurationAnswer,
    ConfigurationRequest,
    EvidenceAnswer,
    EvidenceRequest,
    Hello,
    HelloRequest,
    NetworkAnswer,
    NetworkRequest,
    Refusal,
    Status,
    StatusRequest,
    decode_answer,
    encode_answer,
    encode_refusal,
)

bytes16 = st.binary(min_size=16, max_size=16)
bytes32 = st.binary(min_size=32, max_size=32)
keys = st.binary(min_size=91, max_size=91)
counts = st.integers(min_value=0, max_value=2**53)
states = st.sampled_from(["idle", "trying", "joined", "online", "enrolled", "failed"])

messages: st.SearchStrategy[Message] = st.one_of(
    st.just(HelloRequest()),
    st.just(StatusRequest()),
    st.builds(
        Hello,
        device_id=st.text(),
        model=st.text(),
        presence=st.sampled_from(["display", "button"]),
        owned=st.booleans(),
        epoch=counts,
        server_origin=st.text(),
        transaction_id=bytes16,
        seal=st.sampled_from(["hybrid", "classic", "symmetric"]),
        wifi_scan=st.booleans(),
        transport=st.sampled_from(["softap", "ble"]),
    ),
    st.builds(EvidenceRequest, challenge=bytes32),
    st.builds(EvidenceAnswer, evidence=st.binary(), transaction_id=bytes16, resume_code=bytes16),
    st.builds(ConfigurationRequest, sealed=st.binary(), app_key=bytes32),
    st.builds(
        ConfigurationRequest,
        sealed=st.binary(),
        app_key=bytes32,
        channel=keys,
        signing=st.just(b"") | keys,
        name=st.text(max_size=64),
    ),
    st.builds(ConfigurationAnswer, sequence=counts, status=states),
    st.builds(NetworkRequest, attempt=st.integers(1, 2**32 - 1), salt=bytes32, ciphertext=st.binary()),
    st.builds(NetworkAnswer, status=states),
    st.builds(
        Status,
        state=states,
        cause=st.sampled_from(["", "wrong_password", "no_address", "clock"]),
        attempt=counts,
        deadline_s=counts,
    ),
)
MESSAGE_TYPES = [
    HelloRequest,
    Hello,
    EvidenceRequest,
    EvidenceAnswer,
    ConfigurationRequest,
    ConfigurationAnswer,
    NetworkRequest,
    NetworkAnswer,
    StatusRequest,
    Status,
]


@given(messages)
def test_a_message_survives_the_wire(value: Message) -> None:
    assert message.decode(message.encode(value), type(value)) == value


@given(messages)
def test_an_answer_survives_the_wire(value: Message) -> None:
    assert decode_answer(encode_answer(value), type(value)) == value


@given(st.text(), st.text())
def test_a_refusal_survives_the_wire(code: str, detail: str) -> None:
    refusal = Refusal(code, detail)
    assert decode_answer(encode_refusal(refusal), Hello) == refusal


@given(st.binary(), st.sampled_from(MESSAGE_TYPES))
def test_arbitrary_bytes_are_a_message_or_malformed(data: bytes, expected: type[Message]) -> None:
    try:
        value = message.decode(data, expected)
    except Malformed:
        return
    assert message.encode(value) == data


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(values, st.sampled_from(MESSAGE_TYPES))
def test_arbitrary_structures_are_an_answer_or_malformed(value: Any, expected: type[Message]) -> None:
    for candidate in (value, [0, value]):
        try:
            answer = decode_answer(cbor.encode(candidate), expected)
        except Malformed:
            continue
        assert isinstance(answer, (expected, Refusal))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["admittance/hello/2"], HelloRequest),
        (["admittance/status/1", 1], StatusRequest),
        ([b"\0" * 31], EvidenceRequest),
        ([0, b"\0" * 32, b""], NetworkRequest),
        ([b"sealed", b"\0" * 16, b"", b"", ""], ConfigurationRequest),
        ([b"sealed", b"\0" * 32], ConfigurationRequest),
        ([b"sealed", b"\0" * 32, b"k" * 90, b"", "phone"], ConfigurationRequest),
        ([b"sealed", b"\0" * 32, b"", b"k" * 91, "phone"], ConfigurationRequest),
        (["asleep", "", 0, 0], Status),
    ],
)
def test_what_the_contract_does_not_allow_is_malformed(value: list[Any], expected: type[Message]) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(value), expected)
