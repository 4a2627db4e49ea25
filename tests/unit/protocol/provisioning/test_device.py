"""The device's machine: who opens a session, who is kept out, and that nobody locks the owner out."""

import json

import pytest

from admittance.errors import Conflict, SessionLost, WrongCode
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.client import ProvisioningClient, Response, run_blocking
from admittance.protocol.provisioning.codes import PossessionCode, button_code
from admittance.protocol.provisioning.device import HALF_OPEN_S, SESSION_S, ProvenSession, RenewCode
from admittance.wire import base64url, chunks, crockford
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.session import Command0, encode_command
from tests.unit.protocol.provisioning.meeting import PUBLIC, Meeting

KEY = bytes(range(32))
PROOF = b"\x22" * 64


def opened(meeting: Meeting, code: PossessionCode | None = None) -> ProvisioningClient:
    client = meeting.client(code)
    run_blocking(client.open(), meeting.exchange)
    return client


def proven(meeting: Meeting) -> ProvenSession:
    session = meeting.device.session
    assert session is not None
    return session


def test_proto_ver_tells_what_a_display_device_speaks() -> None:
    answer = json.loads(Meeting().post("proto-ver", b"---").body)
    assert answer == {
        "prov": {"ver": "v1.1", "sec_ver": 2, "sec_patch_ver": 1, "cap": ["wifi_scan"]},
        "admit": {"v": 1, "presence": "display"},
    }


def test_proto_ver_tells_the_nonce_of_the_button_window() -> None:
    meeting = Meeting()
    window = meeting.press(KEY)
    answer = json.loads(meeting.post("proto-ver", b"---").body)["admit"]
    assert answer == {"v": 1, "presence": "button", "window": base64url.encode(window.nonce)}


def test_session_opens_with_the_shown_code() -> None:
    meeting = Meeting()
    code = meeting.shown()
    meeting.now += 7.5
    client = opened(meeting, code)
    session = proven(meeting)
    assert session == ProvenSession(client.binding, "display", 7, code.code_id)
    assert meeting.commands == [RenewCode()]
    assert meeting.shown() != code


def test_session_opens_with_the_code_of_the_button_window() -> None:
    meeting = Meeting()
    opened(meeting, button_code(KEY, meeting.press(KEY).nonce))
    assert proven(meeting).method == "button"


def test_session_of_the_transaction_opens_again_and_again() -> None:
    meeting = Meeting()
    meeting.codes.allow_resume(b"t" * 16, b"r" * 16, 1000.0, meeting.now)
    code = PossessionCode(crockford.encode(b"t" * 16), crockford.encode(b"r" * 16))
    bindings = {opened(meeting, code).binding for _ in range(3)}
    assert len(bindings) == 3
    assert proven(meeting).method == "resume"
    assert meeting.commands == []


def test_code_opens_one_session_only() -> None:
    meeting = Meeting()
    code = meeting.shown()
    opened(meeting, code)
    with pytest.raises(WrongCode):
        opened(meeting, code)


def test_two_handshakes_with_one_code_open_one_session() -> None:
    meeting = Meeting()
    code = meeting.shown()
    first, second = meeting.client(code).open(), meeting.client(code).open()
    requests = [next(first), next(second)]
    for _ in range(2):
        requests = [first.send(meeting.exchange(requests[0])), second.send(meeting.exchange(requests[1]))]
    with pytest.raises(StopIteration):
        first.send(meeting.exchange(requests[0]))
    with pytest.raises(WrongCode):
        second.send(meeting.exchange(requests[1]))


def test_failure_burns_the_code() -> None:
    meeting = Meeting()
    code = meeting.shown()
    _, cookie = meeting.challenge(code.code_id)
    assert meeting.prove(PROOF, cookie).status is Status.CRYPTO_ERROR
    assert meeting.commands == [RenewCode()]
    with pytest.raises(WrongCode):
        opened(meeting, code)
    opened(meeting)


def test_malformed_first_command_burns_nothing() -> None:
    meeting = Meeting()
    code = meeting.shown()
    for public in (b"", PUBLIC[1:], PUBLIC + b"\x11"):
        assert meeting.post("prov-session", encode_command(Command0(code.code_id, public))).status == 400
    zero, _ = meeting.challenge(code.code_id, bytes(384))
    assert zero.status is Status.INVALID_ARGUMENT
    opened(meeting, code)


@pytest.mark.parametrize(("later_s", "opens"), [(89.999, True), (90.0, False)])
def test_code_that_left_the_display_opens_until_its_grace_is_over(later_s: float, opens: bool) -> None:
    meeting = Meeting()
    code = meeting.shown()
    meeting.now += 60.0
    meeting.shown()
    meeting.now += later_s
    if opens:
        opened(meeting, code)
    else:
        with pytest.raises(WrongCode):
            opened(meeting, code)


def test_code_that_expires_during_the_handshake_does_not_open() -> None:
    meeting = Meeting()
    code = meeting.shown()
    meeting.now += 149.9
    call = meeting.client(code).open()
    request = call.send(meeting.exchange(next(call)))
    request = call.send(meeting.exchange(request))
    meeting.now += 0.1
    with pytest.raises(WrongCode):
        call.send(meeting.exchange(request))


@pytest.mark.parametrize(("later_s", "status"), [(9.999, Status.CRYPTO_ERROR), (10.0, Status.INVALID_SESSION)])
def test_half_open_session_lives_ten_seconds(later_s: float, status: Status) -> None:
    meeting = Meeting()
    assert HALF_OPEN_S == 10.0
    _, cookie = meeting.challenge(meeting.shown().code_id)
    meeting.now += later_s
    assert meeting.prove(PROOF, cookie).status is status


@pytest.mark.parametrize(("later_s", "status"), [(899.999, 200), (900.0, 401)])
def test_proven_session_lives_fifteen_minutes(later_s: float, status: int) -> None:
    meeting = Meeting()
    assert SESSION_S == 900.0
    client = opened(meeting)
    meeting.now += later_s
    call = client.call("admit-echo", b"hello")
    assert meeting.exchange(next(call)).status == status


def test_proof_without_a_handshake_is_no_session() -> None:
    meeting = Meeting()
    code = meeting.shown()
    assert meeting.prove(PROOF, None).status is Status.INVALID_SESSION
    assert meeting.prove(PROOF, "12345").status is Status.INVALID_SESSION
    opened(meeting, code)


def test_proof_is_taken_once() -> None:
    meeting = Meeting()
    _, cookie = meeting.challenge(meeting.shown().code_id)
    meeting.prove(PROOF, cookie)
    assert meeting.prove(PROOF, cookie).status is Status.INVALID_SESSION


def test_other_security_schemes_are_refused_by_name() -> None:
    meeting = Meeting()
    # SessionData {sec_ver: 1, sec1: {}} and {sec_ver: 0 (default), sec0: {}}
    for body in (b"\x10\x01\x5a\x00", b"\x52\x00"):
        response = meeting.post("prov-session", body)
        assert response.status == 200
        assert b"\x08\x01" in response.body
    assert meeting.device.session is None


# Unknown ids.


def test_unknown_id_gets_an_answer_that_looks_the_same() -> None:
    meeting = Meeting()
    known, _ = meeting.challenge(meeting.shown().code_id)
    unknown, cookie = meeting.challenge("NOBODY")
    assert unknown.status is Status.SUCCESS
    assert (len(unknown.salt), len(unknown.device_public)) == (len(known.salt), len(known.device_public))
    assert unknown.salt[0] != 0
    assert unknown.device_public[0] != 0
    assert meeting.prove(PROOF, cookie).status is Status.CRYPTO_ERROR


def test_unknown_id_gets_the_same_salt_and_another_public_value_each_time() -> None:
    meeting = Meeting()
    answers = []
    for _ in range(3):
        answers.append(meeting.challenge("NOBODY")[0])
        meeting.now += 60
    assert len({answer.salt for answer in answers}) == 1
    assert len({answer.device_public for answer in answers}) == 3
    assert meeting.challenge("SOMEBODY")[0].salt != answers[0].salt


def test_unknown_id_burns_nothing() -> None:
    meeting = Meeting()
    code = meeting.shown()
    _, cookie = meeting.challenge("NOBODY")
    meeting.prove(PROOF, cookie)
    assert meeting.commands == []
    opened(meeting, code)


def test_unknown_ids_are_slowed_down_up_to_thirty_seconds() -> None:
    meeting = Meeting()
    waits = []
    for _ in range(8):
        assert meeting.challenge("NOBODY")[0].status is Status.SUCCESS
        began = meeting.now
        while meeting.challenge("NOBODY", bytes(384))[0].status is Status.TOO_MANY_SESSIONS:
            meeting.now += 0.5
        waits.append(meeting.now - began)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


# A neighbour cannot lock the owner out.


def test_owner_enters_while_unknown_ids_are_slowed_down() -> None:
    meeting = Meeting()
    for _ in range(50):
        meeting.challenge("NOBODY")
    assert meeting.challenge("NOBODY")[0].status is Status.TOO_MANY_SESSIONS
    opened(meeting)


def test_owner_enters_while_every_place_is_taken_by_unknown_ids() -> None:
    meeting = Meeting()
    for number, wait_s in enumerate((1.0, 2.0, 4.0, 0.0)):
        assert meeting.challenge(f"NOBODY{number}")[0].status is Status.SUCCESS
        meeting.now += wait_s
    opened(meeting)


def test_flood_of_unknown_ids_does_not_push_out_a_known_handshake() -> None:
    meeting = Meeting()
    code = meeting.shown()
    call = meeting.client(code).open()
    request = call.send(meeting.exchange(next(call)))
    request = call.send(meeting.exchange(request))
    for number in range(100):
        meeting.challenge(f"NOBODY{number}")
        meeting.now += 0.09
    with pytest.raises(StopIteration):
        call.send(meeting.exchange(request))


def test_half_open_sessions_do_not_displace_the_proven_one() -> None:
    meeting = Meeting()
    client = opened(meeting)
    for number in range(20):
        meeting.challenge(f"NOBODY{number}")
        meeting.challenge(meeting.shown().code_id)
    assert run_blocking(client.call("admit-echo", b"still here"), meeting.exchange) == b"still here"


def test_failing_on_purpose_does_not_end_the_proven_session() -> None:
    meeting = Meeting()
    client = opened(meeting)
    for _ in range(10):
        _, cookie = meeting.challenge(meeting.shown().code_id)
        assert meeting.prove(PROOF, cookie).status is Status.CRYPTO_ERROR
    assert run_blocking(client.call("admit-echo", b"still here"), meeting.exchange) == b"still here"


def test_failing_on_purpose_does_not_end_a_transaction() -> None:
    meeting = Meeting()
    meeting.codes.allow_resume(b"t" * 16, b"r" * 16, 1000.0, meeting.now)
    username = crockford.encode(b"t" * 16)
    for _ in range(10):
        _, cookie = meeting.challenge(username)
        assert meeting.prove(PROOF, cookie).status is Status.CRYPTO_ERROR
    opened(meeting, PossessionCode(username, crockford.encode(b"r" * 16)))


def test_rubbish_without_the_cookie_does_not_end_the_proven_session() -> None:
    meeting = Meeting()
    client = opened(meeting)
    for cookie in (None, "", "1", "4294967296"):
        assert meeting.post("admit-echo", b"rubbish", cookie).status == 401
    assert run_blocking(client.call("admit-echo", b"still here"), meeting.exchange) == b"still here"


def test_newly_proven_session_replaces_the_old_one() -> None:
    meeting = Meeting()
    old = opened(meeting)
    new = opened(meeting)
    with pytest.raises(SessionLost):
        run_blocking(old.call("admit-echo", b"old"), meeting.exchange)
    assert run_blocking(new.call("admit-echo", b"new"), meeting.exchange) == b"new"


def test_handshake_with_the_proven_cookie_leaves_that_session_alone() -> None:
    meeting = Meeting()
    client = opened(meeting)
    cookie = meeting.sent[-1].cookie
    challenge, other = meeting.challenge("NOBODY", cookie=cookie)
    assert challenge.status is Status.SUCCESS
    assert other not in (None, cookie)
    assert run_blocking(client.call("admit-echo", b"still here"), meeting.exchange) == b"still here"


# Inside a session.


@pytest.mark.parametrize("endpoint", ["prov-scan", "prov-config", "prov-ctrl", "admit-echo"])
def test_nothing_is_answered_without_a_session(endpoint: str) -> None:
    meeting = Meeting()
    assert meeting.post(endpoint, b"\x00" * 32).status == 401
    _, cookie = meeting.challenge(meeting.shown().code_id)
    assert meeting.post(endpoint, b"\x00" * 32, cookie).status == 401


def test_unknown_endpoint_is_not_found() -> None:
    meeting = Meeting()
    opened(meeting)
    assert meeting.post("admit-other", b"x", meeting.sent[-1].cookie).status == 404


@pytest.mark.parametrize("size", [0, 4097])
def test_bodies_have_bounds(size: int) -> None:
    assert Meeting().post("prov-session", b"x" * size).status == 400


def test_replayed_request_ends_the_session() -> None:
    meeting = Meeting()
    client = opened(meeting)
    run_blocking(client.call("admit-echo", b"once"), meeting.exchange)
    request = meeting.sent[-1]
    assert meeting.post(request.endpoint, request.body, request.cookie).status == 401
    assert meeting.device.session is None


def test_each_changed_byte_of_a_request_ends_the_session() -> None:
    size = len(chunks.encode(chunks.Chunk(2**32 - 1, 5, 0, b"hello"))) + 16
    for position in range(0, size, 4):
        meeting = Meeting()
        client = opened(meeting)
        request = next(client.call("admit-echo", b"hello"))
        body = bytearray(request.body)
        body[position % len(body)] ^= 0x80
        assert meeting.post(request.endpoint, bytes(body), request.cookie).status == 401
        assert meeting.device.session is None


def test_request_moved_to_another_endpoint_is_refused_there() -> None:
    meeting = Meeting()
    client = opened(meeting)
    request = next(client.call("admit-echo", b"hello"))
    assert meeting.post("prov-ctrl", request.body, request.cookie).status == 400
    assert meeting.device.session is None


@pytest.mark.parametrize("size", [1, 3500, 3501, 7000, 16384])
@pytest.mark.parametrize("chunk_bytes", [180, 3500])
def test_large_requests_and_answers_travel_in_chunks(size: int, chunk_bytes: int) -> None:
    meeting = Meeting(chunk_bytes=chunk_bytes)
    client = opened(meeting)
    content = bytes(index % 251 for index in range(size))
    assert run_blocking(client.call("admit-echo", content), meeting.exchange) == content
    assert max(len(request.body) for request in meeting.sent[3:]) <= chunk_bytes + 40
    assert max(len(response.body) for response in meeting.received[3:]) <= chunk_bytes + 40


def _bad_chunks() -> dict[str, list[chunks.Chunk]]:
    first = chunks.Chunk(7, 10, 0, b"12345")
    return {
        "later chunk first": [chunks.Chunk(7, 10, 5, b"12345")],
        "gap": [first, chunks.Chunk(7, 10, 6, b"1234")],
        "overlap": [first, chunks.Chunk(7, 10, 4, b"123456")],
        "another id": [first, chunks.Chunk(8, 10, 5, b"12345")],
        "another total": [first, chunks.Chunk(7, 11, 5, b"12345")],
        "more of nothing": [chunks.Chunk(7, 10, 5, b"")],
        "more before the request is whole": [first, chunks.Chunk(7, 10, 5, b"")],
    }


@pytest.mark.parametrize("bad", _bad_chunks().values(), ids=_bad_chunks().keys())
def test_chunks_out_of_order_end_the_session(bad: list[chunks.Chunk]) -> None:
    meeting = Meeting()
    client = opened(meeting)
    response = Response(200, b"")
    for chunk in bad:
        call = client._secured("admit-echo", chunks.encode(chunk))
        response = meeting.exchange(next(call))
        if chunk is not bad[-1]:
            with pytest.raises(StopIteration):
                call.send(response)
    assert response.status == 400
    assert meeting.device.session is None


def test_refusal_of_an_endpoint_is_an_answer_and_the_session_goes_on() -> None:
    def refuse(session: ProvenSession, request: bytes, now: float) -> bytes:
        raise Conflict("Not now.")

    meeting = Meeting(application={"admit-echo": refuse})
    client = opened(meeting)
    for _ in range(2):
        answer = run_blocking(client.call("admit-echo", b"x"), meeting.exchange)
        assert answer == b"\x83\x01\x68conflict\x68Not now."


def test_endpoint_is_told_of_its_session() -> None:
    seen: list[tuple[ProvenSession, bytes, float]] = []

    def remember(session: ProvenSession, request: bytes, now: float) -> bytes:
        seen.append((session, request, now))
        return b"ok"

    meeting = Meeting(application={"admit-echo": remember})
    client = opened(meeting)
    run_blocking(client.call("admit-echo", b"whole request"), meeting.exchange)
    assert seen == [(proven(meeting), b"whole request", meeting.now)]


def test_ending_sessions_forgets_them_all() -> None:
    meeting = Meeting()
    client = opened(meeting)
    _, cookie = meeting.challenge(meeting.shown().code_id)
    meeting.device.end_sessions()
    assert meeting.prove(PROOF, cookie).status is Status.INVALID_SESSION
    with pytest.raises(SessionLost):
        run_blocking(client.call("admit-echo", b"x"), meeting.exchange)


def test_blocking_scan_holds_its_answer() -> None:
    meeting = Meeting()
    client = opened(meeting)
    request = next(client.scan())
    reply = meeting.device.receive(
        request.endpoint, request.cookie, request.body, meeting.now, lambda size: b"\1" * size
    )
    assert reply.after_scan
    assert meeting.device.drain() == (stock.StartScan(),)
