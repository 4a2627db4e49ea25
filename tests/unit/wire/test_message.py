from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor, message
from admittance.wire.enrolment import DeviceStatus, Enrolled, EnrolmentRequest, Nonce, NonceRequest, ResetReport
from admittance.wire.evidence import Evidence
from admittance.wire.message import Bytes16, Message, Unsigned, Word
from admittance.wire.sealed import Configuration, Envelope, Header
from tests.wire_messages import (
    changed,
    configurations,
    enrolment_requests,
    evidences,
    headers,
    reset_reports,
)

KINDS: tuple[type[Message], ...] = (
    Configuration,
    DeviceStatus,
    Enrolled,
    EnrolmentRequest,
    Envelope,
    Evidence,
    Header,
    Nonce,
    NonceRequest,
    ResetReport,
)
messages: st.SearchStrategy[Message] = st.one_of(
    configurations, enrolment_requests, evidences, headers, reset_reports
)
SECRET = "hunter2"


class Ping(Message, frozen=True, tag="test/ping/1"):
    nonce: Bytes16
    count: Unsigned
    name: Word
    options: Annotated[list[Word], msgspec.Meta(max_length=2)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Unsigned


class Pong(Message, frozen=True):
    options: Options


PING = Ping(bytes(16), 1, "a", ["b"])


@given(messages)
def test_a_message_decodes_to_itself(value: Message) -> None:
    assert message.decode(message.encode(value), type(value)) == value


@given(messages)
def test_equal_messages_have_equal_bytes(value: Message) -> None:
    copy = message.decode(message.encode(value), type(value))
    assert message.encode(copy) == message.encode(value)


@given(messages, st.data())
def test_a_changed_message_decodes_to_its_own_bytes_or_is_malformed(value: Message, data: st.DataObject) -> None:
    bad = data.draw(changed(message.encode(value)))
    try:
        other = message.decode(bad, type(value))
    except Malformed:
        return
    assert message.encode(other) == bad


@given(st.binary(max_size=100), st.sampled_from(KINDS))
def test_arbitrary_bytes_are_malformed(data: bytes, kind: type[Message]) -> None:
    with pytest.raises(Malformed):
        message.decode(data, kind)


@given(messages, st.sampled_from(KINDS))
def test_a_message_is_not_taken_for_another(value: Message, kind: type[Message]) -> None:
    if kind is not type(value):
        with pytest.raises(Malformed):
            message.decode(message.encode(value), kind)


def test_the_label_comes_first() -> None:
    assert cbor.decode(message.encode(PING)) == ["test/ping/1", bytes(16), 1, "a", ["b"]]


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        ["test/ping/1"],
        ["test/ping/2", bytes(16), 1, "a", []],
        [1, bytes(16), 1, "a", []],
        [bytes(16), 1, "a", []],
        ["test/ping/1", bytes(16), 1, "a", [], 0],
        ["test/ping/1", bytes(15), 1, "a", []],
        ["test/ping/1", "a" * 16, 1, "a", []],
        ["test/ping/1", bytes(16), -1, "a", []],
        ["test/ping/1", bytes(16), 2**53 + 1, "a", []],
        ["test/ping/1", bytes(16), True, "a", []],
        ["test/ping/1", bytes(16), "1", "a", []],
        ["test/ping/1", bytes(16), None, "a", []],
        ["test/ping/1", bytes(16), 1, b"a", []],
        ["test/ping/1", bytes(16), 1, "a" * 65, []],
        ["test/ping/1", bytes(16), 1, "a", ["b"] * 3],
        ["test/ping/1", bytes(16), 1, "a", {"b": 1}],
    ],
)
def test_another_shape_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(value), Ping)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([SECRET, bytes(16), 1, "a", []], Ping),
        (["test/ping/1", bytes(16), 1, SECRET * 10, []], Ping),
        (["test/ping/1", SECRET, 1, "a", []], Ping),
        ([{"size": 1, SECRET: 1}], Pong),
        ([{SECRET: 1}], Pong),
        ([{"size": SECRET}], Pong),
        (["admittance/sealed/1", SECRET, "", 0, bytes(32), 0, 0, bytes(16)], Header),
    ],
)
def test_the_reason_holds_nothing_of_what_the_peer_sent(value: Any, kind: type[Message]) -> None:
    with pytest.raises(Malformed) as caught:
        message.decode(cbor.encode(value), kind)
    assert SECRET not in str(caught.value)


def test_integers_as_map_keys_are_malformed() -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode([{1: 1}]), Pong)


def test_longer_than_allowed() -> None:
    data = message.encode(PING)
    assert message.decode(data, Ping, max_bytes=len(data)) == PING
    with pytest.raises(Malformed):
        message.decode(data, Ping, max_bytes=len(data) - 1)


@pytest.mark.parametrize("size", [1, 31])
def test_a_ticket_has_32_bytes_or_none(size: int) -> None:
    encoded = ["admittance/enrolment/1", bytes(32), "AD", 1, bytes(size), b""]
    with pytest.raises(Malformed):
        message.decode(cbor.encode(encoded), EnrolmentRequest)
    encoded = ["admittance/configuration/1", "", "", "", [b"a"], 0, bytes(size), b"", [], 0, [], b""]
    with pytest.raises(Malformed):
        message.decode(cbor.encode(encoded), Configuration)


@pytest.mark.parametrize("size", [1, 32])
def test_an_encrypted_network_is_longer_than_its_salt(size: int) -> None:
    encoded = ["admittance/configuration/1", "", "", "", [b"a"], 0, b"", bytes(size), [], 0, [], b""]
    with pytest.raises(Malformed):
        message.decode(cbor.encode(encoded), Configuration)


def test_a_representation_shows_no_ticket() -> None:
    ticket = b"ticket" + bytes(26)
    request = EnrolmentRequest(bytes(32), "AD", 1, ticket, b"")
    configuration = Configuration("", "", "", [b"a"], 0, ticket, b"", [], 0, [], b"", [])
    assert "ticket" not in repr(request) + repr(configuration)
