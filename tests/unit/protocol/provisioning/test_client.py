"""The phone's machine: what it asks for, and what it does about a device that is wrong, slow or hostile."""

import secrets
from collections.abc import Callable

import pytest

from admittance.errors import (
    AdmittanceError,
    DeviceRefused,
    InsecureDevice,
    Malformed,
    SessionLost,
    Throttled,
    WrongCode,
)
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.client import (
    ProvisioningClient,
    Request,
    Response,
    read_version,
    run,
    run_blocking,
)
from admittance.protocol.provisioning.codes import PossessionCode
from admittance.wire import provisioning_messages
from admittance.wire.protocomm import session as session_messages
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.scan import ScannedNetwork
from admittance.wire.protocomm.session import Response0, Response1
from tests.unit.protocol.provisioning.meeting import Meeting

NETWORKS = tuple(
    ScannedNetwork(f"Network {index}", bytes([2, 0, 0, 0, 0, index]), 1, -40, "wpa2") for index in range(11)
)


def opened(meeting: Meeting) -> ProvisioningClient:
    client = meeting.client()
    run_blocking(client.open(), meeting.exchange)
    return client


def hostile(answers: dict[int, Callable[[bytes], Response]]) -> tuple[Meeting, Callable[[Request], Response]]:
    """A device whose answers, counted from 0, are changed."""
    meeting = Meeting()
    count = iter(range(1000))

    def exchange(request: Request) -> Response:
        response = meeting.exchange(request)
        change = answers.get(next(count))
        return response if change is None else change(response.body)

    return meeting, exchange


def version_of(prov: bytes) -> Callable[[Request], Response]:
    return lambda request: Response(200, prov)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"prov":{"ver":"v1.1","cap":[]}}', InsecureDevice),
        (b'{"prov":{"ver":"v1.1","sec_ver":0,"cap":["no_sec"]}}', InsecureDevice),
        (b'{"prov":{"ver":"v1.1","sec_ver":1,"sec_patch_ver":1,"cap":[]}}', InsecureDevice),
        (b'{"prov":{"ver":"v1.1","sec_ver":2,"cap":[]}}', InsecureDevice),
        (b'{"prov":{"ver":"v1.1","sec_ver":2,"sec_patch_ver":0,"cap":[]}}', InsecureDevice),
        (b'{"prov":{"ver":"v1.1","sec_ver":2,"sec_patch_ver":1,"cap":["no_pop"]}}', InsecureDevice),
        (b"v1.1", Malformed),
        (b"", Malformed),
    ],
)
def test_refuses_a_device_that_is_not_safe(answer: bytes, error: type[AdmittanceError]) -> None:
    with pytest.raises(error):
        run_blocking(read_version(), version_of(answer))
    client = ProvisioningClient("ID", "CODE", secrets.token_bytes)
    with pytest.raises(error):
        run_blocking(client.open(), version_of(answer))
    assert client.state == "lost"


def test_accepts_a_stock_device() -> None:
    answer = b'{"prov":{"ver":"v1.1","sec_ver":2,"sec_patch_ver":1,"cap":["wifi_scan"]},"other":{"a":1}}'
    version = run_blocking(read_version(), version_of(answer))
    assert version.prov.cap == ("wifi_scan",)


def test_shows_no_code_before_the_device_said_what_it_is() -> None:
    request = next(ProvisioningClient("ID", "CODE", secrets.token_bytes).open())
    assert (request.endpoint, request.cookie) == ("proto-ver", None)


def test_code_never_travels() -> None:
    meeting = Meeting()
    code = meeting.shown()
    run_blocking(meeting.client(code).open(), meeting.exchange)
    assert all(code.code.encode() not in request.body for request in meeting.sent)


def test_both_sides_share_one_binding_per_session() -> None:
    meeting = Meeting()
    first = opened(meeting).binding
    second = opened(meeting)
    session = meeting.device.session
    assert session is not None
    assert second.binding == session.binding != first
    assert len(first) == 32


def test_wrong_code_is_told_apart() -> None:
    meeting = Meeting()
    wrong = PossessionCode(meeting.shown().code_id, "0" * 32)
    with pytest.raises(WrongCode):
        run_blocking(meeting.client(wrong).open(), meeting.exchange)


def test_throttle_is_told_apart() -> None:
    meeting = Meeting()
    stranger = PossessionCode("NOBODY", "0" * 32)
    with pytest.raises(WrongCode):
        run_blocking(meeting.client(stranger).open(), meeting.exchange)
    with pytest.raises(Throttled):
        run_blocking(meeting.client(stranger).open(), meeting.exchange)


def test_slow_handshake_is_told_apart() -> None:
    meeting = Meeting()
    call = meeting.client().open()
    request = call.send(meeting.exchange(next(call)))
    request = call.send(meeting.exchange(request))
    meeting.now += 10.0
    with pytest.raises(SessionLost):
        call.send(meeting.exchange(request))


def test_cookie_of_the_session_is_carried() -> None:
    meeting = Meeting()
    client = opened(meeting)
    run_blocking(client.call("admit-echo", b"x"), meeting.exchange)
    given = meeting.received[1].cookie
    assert given is not None
    assert [request.cookie for request in meeting.sent] == [None, None, given, given]


# A hostile device.


@pytest.mark.parametrize("public", [bytes(384), b"\xff" * 8 + b"\x00" * 375 + b"\x01"], ids=["zero", "other"])
def test_hostile_public_value_is_refused(public: bytes) -> None:
    answer = session_messages.encode_response(Response0(Status.SUCCESS, public, b"salt" * 4))
    meeting, exchange = hostile({1: lambda body: Response(200, answer)})
    with pytest.raises((InsecureDevice, SessionLost)):
        run_blocking(meeting.client().open(), exchange)


@pytest.mark.parametrize("proof", [bytes(64), b"\xff" * 64])
def test_device_that_does_not_know_the_code_is_refused(proof: bytes) -> None:
    def change(body: bytes) -> Response:
        right = session_messages.decode_response1(body)
        changed = Response1(Status.SUCCESS, proof, right.device_nonce)
        return Response(200, session_messages.encode_response(changed))

    meeting, exchange = hostile({2: change})
    client = meeting.client()
    with pytest.raises(InsecureDevice):
        run_blocking(client.open(), exchange)
    assert client.state == "lost"


@pytest.mark.parametrize("counter", [0, 2, 0x01000000, 0xFFFFFFFF])
def test_first_counter_other_than_one_is_refused(counter: int) -> None:
    def change(body: bytes) -> Response:
        right = session_messages.decode_response1(body)
        nonce = right.device_nonce[:8] + counter.to_bytes(4, "big")
        changed = Response1(Status.SUCCESS, right.device_proof, nonce)
        return Response(200, session_messages.encode_response(changed))

    meeting, exchange = hostile({2: change})
    with pytest.raises(InsecureDevice):
        run_blocking(meeting.client().open(), exchange)


@pytest.mark.parametrize("answer", [0, 1, 2])
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(200, b"rubbish"), Malformed),
        (Response(401, b""), SessionLost),
        (Response(404, b""), DeviceRefused),
        (Response(500, b""), DeviceRefused),
    ],
)
def test_bad_answers_to_the_handshake(answer: int, response: Response, error: type[AdmittanceError]) -> None:
    meeting, exchange = hostile({answer: lambda body: response})
    client = meeting.client()
    with pytest.raises(error):
        run_blocking(client.open(), exchange)
    assert client.state == "lost"


def test_each_truncation_of_a_handshake_answer_is_refused() -> None:
    meeting = Meeting()
    run_blocking(meeting.client().open(), meeting.exchange)
    whole = meeting.received[1].body
    for size in range(0, len(whole), 5):
        with pytest.raises(Malformed):
            session_messages.decode_response0(whole[:size])


# Sessions end.


def test_nothing_is_possible_before_a_session_is_open() -> None:
    client = ProvisioningClient("ID", "CODE", secrets.token_bytes)
    for call in (client.scan(), client.network_status(), client.call("admit-echo", b"x"), client.control("reset")):
        with pytest.raises(SessionLost):
            next(call)
    with pytest.raises(SessionLost):
        _ = client.binding


def test_lost_answer_ends_the_session_until_another_is_open() -> None:
    meeting = Meeting()
    client = opened(meeting)

    def lose(request: Request) -> Response:
        meeting.exchange(request)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        run_blocking(client.call("admit-echo", b"x"), lose)
    assert client.state == "lost"
    with pytest.raises(SessionLost):
        run_blocking(client.call("admit-echo", b"x"), meeting.exchange)
    with pytest.raises(SessionLost):
        _ = client.binding


def test_changed_answer_ends_the_session() -> None:
    meeting = Meeting()
    client = opened(meeting)
    meeting.alter_response = lambda response: Response(200, response.body[:-1] + bytes([response.body[-1] ^ 1]))
    with pytest.raises(SessionLost):
        run_blocking(client.call("admit-echo", b"x"), meeting.exchange)
    assert client.state == "lost"


def test_reflected_request_is_no_answer() -> None:
    meeting = Meeting()
    client = opened(meeting)
    with pytest.raises(SessionLost):
        run_blocking(client.call("admit-echo", b"x"), lambda request: Response(200, request.body))


def test_abandoned_call_ends_the_session() -> None:
    meeting = Meeting()
    client = opened(meeting)
    call = client.call("admit-echo", b"x")
    next(call)
    call.close()
    with pytest.raises(SessionLost):
        next(client.call("admit-echo", b"x"))


async def test_runs_over_an_asynchronous_exchange() -> None:
    meeting = Meeting()

    async def exchange(request: Request) -> Response:
        return meeting.exchange(request)

    client = meeting.client()
    await run(client.open(), exchange)
    assert await run(client.call("admit-echo", b"hello"), exchange) == b"hello"


# Endpoints.


def test_scan_reads_every_network() -> None:
    meeting = Meeting(networks=NETWORKS)
    assert run_blocking(opened(meeting).scan(), meeting.exchange) == NETWORKS


def test_network_is_set_tried_and_mended() -> None:
    meeting = Meeting()
    client = opened(meeting)
    run_blocking(client.set_network("Home", "wrong password"), meeting.exchange)
    assert run_blocking(client.network_status(), meeting.exchange).state == "connecting"
    meeting.device.notify(stock.JoinFinished(1, "wrong_password"))
    failed = run_blocking(client.network_status(), meeting.exchange)
    assert (failed.state, failed.fail_reason) == ("failed", "auth_error")
    run_blocking(client.set_network("Home", "right password"), meeting.exchange)
    meeting.device.notify(stock.JoinFinished(1, "wrong_password"))
    assert run_blocking(client.network_status(), meeting.exchange).state == "connecting"
    meeting.device.notify(stock.JoinFinished(2, "", "10.0.0.9"))
    joined = run_blocking(client.network_status(), meeting.exchange)
    assert (joined.state, joined.ip4_address, joined.ssid) == ("connected", "10.0.0.9", "Home")
    attempts = [command for command in meeting.commands if isinstance(command, stock.JoinNetwork)]
    assert [(join.passphrase, join.attempt) for join in attempts] == [("wrong password", 1), ("right password", 2)]


@pytest.mark.parametrize("cause", ["not_found", "no_address", "no_server"])
def test_stock_words_for_other_failures(cause: str) -> None:
    meeting = Meeting()
    client = opened(meeting)
    run_blocking(client.set_network("Home", "password"), meeting.exchange)
    meeting.device.notify(stock.JoinFinished(1, cause))
    assert run_blocking(client.network_status(), meeting.exchange).fail_reason == "network_not_found"


def test_owned_device_refuses_stock_configuration() -> None:
    meeting = Meeting(owned=True, networks=NETWORKS)
    client = opened(meeting)
    for call in (client.set_network("Home", "password"), client.network_status(), client.control("reset")):
        with pytest.raises(DeviceRefused) as caught:
            run_blocking(call, meeting.exchange)
        assert caught.value.reason == "not_permitted"
    assert run_blocking(client.scan(), meeting.exchange) == NETWORKS
    assert not any(isinstance(command, stock.JoinNetwork) for command in meeting.commands)


def test_control_commands_reach_the_shell() -> None:
    meeting = Meeting()
    client = opened(meeting)
    run_blocking(client.control("reset"), meeting.exchange)
    run_blocking(client.control("reprovision"), meeting.exchange)
    assert meeting.commands[-2:] == [stock.ResetRequested(), stock.ReprovisionRequested()]


def test_endpoint_that_the_device_lacks_is_refused() -> None:
    meeting = Meeting()
    client = opened(meeting)
    with pytest.raises(DeviceRefused):
        run_blocking(client.call("admit-other", b"x"), meeting.exchange)


def test_ask_speaks_in_messages() -> None:
    status = provisioning_messages.Status("trying", "", 1, 500)
    meeting = Meeting(
        application={"admit-status": lambda session, request, now: provisioning_messages.encode_answer(status)}
    )
    client = opened(meeting)
    call = client.ask("admit-status", provisioning_messages.StatusRequest(), provisioning_messages.Status)
    assert run_blocking(call, meeting.exchange) == status


def test_ask_raises_the_refusal_of_the_device() -> None:
    refusal = provisioning_messages.encode_refusal(provisioning_messages.Refusal("expired", "Too late."))
    meeting = Meeting(application={"admit-status": lambda session, request, now: refusal})
    client = opened(meeting)
    call = client.ask("admit-status", provisioning_messages.StatusRequest(), provisioning_messages.Status)
    with pytest.raises(DeviceRefused, match=r"Too late\.") as caught:
        run_blocking(call, meeting.exchange)
    assert caught.value.reason == "expired"
    assert client.state == "proven"
