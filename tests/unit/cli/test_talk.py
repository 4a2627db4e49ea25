"""`admit talk` against a device behind a relay."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from admittance.errors import DeviceOffline
from admittance.wire.coap import codes, datagram
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from admittance.wire.relay import CloseCode
from tests.unit.cli.device_behind_relay import Home, home
from tests.unit.client.channel.relay_world import DEVICE_ID, large

COMMAND = [sys.executable, "-c", "from admittance.cli import run; run()"]
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(device_id: str) -> tuple[str, int]:
        raise DeviceOffline(f"{device_id} is not seen in the local network.")

    monkeypatch.setattr("admittance.client.channel.discovery.find", nobody)


def test_get_prints_the_content(at_home: Home) -> None:
    at_home.text("talk", DEVICE_ID, "put", "/value", "--text", "21.5")
    assert at_home.text("talk", DEVICE_ID, "get", "/value") == "21.5\n"
    told = at_home.object("talk", DEVICE_ID, "get", "/value")
    assert told == {"code": "2.05", "content_format": 0, "value": "21.5"}


def test_a_device_is_called_by_its_name_or_its_setup_code(at_home: Home) -> None:
    for name in ("lock-1", "LOCK-1", DEVICE_ID.lower(), f"https://localhost:1/d/{DEVICE_ID}"):
        assert at_home.object("talk", name, "get", "/value")["code"] == "2.05"


def test_bodies_are_given_in_the_format_that_one_names(at_home: Home) -> None:
    post = ("talk", DEVICE_ID, "post", "/echo")
    assert at_home.object(*post, "--cbor", '{"a": [1, 2.5]}')["value"] == {"a": [1, 2.5]}
    assert at_home.object(*post, "--json-body", "[true]") == {"code": "2.05", "content_format": 50, "value": [True]}
    assert at_home.object(*post, "--text", "x")["content_format"] == 0
    assert at_home.object(*post) == {"code": "2.05", "content_format": None, "value": ""}
    file = at_home.object(*post, "--file", "-", "--content-format", "42", stdin="\x01\x02")
    assert file == {"code": "2.05", "content_format": 42, "value": "AQI"}


def test_an_answer_without_content_is_its_code(at_home: Home) -> None:
    assert at_home.text("talk", DEVICE_ID, "post", "/count") == "2.04\n"


def test_raw_bytes_are_written_as_they_are(at_home: Home) -> None:
    done = at_home.admit("talk", DEVICE_ID, "get", "/large", "--raw")
    assert done.stdout_bytes == large()


def test_observe_prints_one_line_each(at_home: Home) -> None:
    lines = at_home.text("talk", DEVICE_ID, "observe", "/value", "--count", "1").splitlines()
    assert len(lines) == 1


def test_ctrl_c_ends_an_observation_cleanly(at_home: Home) -> None:
    process = started(at_home, "talk", DEVICE_ID, "observe", "/value", "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    at_home.run(lambda: at_home.world.device.change(b"changed"))
    second = json.loads(process.stdout.readline())
    assert (first["code"], second["value"]) == ("2.05", "changed")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output, errors.strip()) == (0, "", "")
    deadline = time.monotonic() + PATIENCE_S
    while at_home.run(lambda: len(at_home.world.device.conversations)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_proxy_tells_its_port_and_serves_until_ctrl_c(at_home: Home) -> None:
    at_home.run(lambda: at_home.world.device.change(b"proxied"))
    process = started(at_home, "talk", DEVICE_ID, "proxy", "--port", "0", "--json")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["uri"] == f"coap://127.0.0.1:{told['port']}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE_S)
        request = CoapMessage(codes.GET, b"t", path_options("/value"))
        client.sendto(datagram.encode(Datagram(Type.CONFIRMABLE, 1, request)), ("127.0.0.1", told["port"]))
        answer = datagram.decode(client.recv(1500))
    assert (answer.type, answer.message_id) == (Type.ACKNOWLEDGEMENT, 1)
    assert (answer.message.token, answer.message.payload) == (b"t", b"proxied")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_an_error_of_configuration(at_home: Home) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        code, error, detail = at_home.refusal("talk", DEVICE_ID, "proxy", "--port", port)
    assert (code, error) == (6, "configuration")
    assert "--port" in detail


def test_errors_have_exit_codes_and_next_steps(at_home: Home) -> None:
    assert at_home.refusal("talk", DEVICE_ID, "get", "/nothing")[:2] == (5, "not_found")
    assert at_home.refusal("talk", DEVICE_ID, "get", "/forbidden")[:2] == (3, "not_allowed")
    assert at_home.refusal("talk", DEVICE_ID, "get", "nothing")[:2] == (9, "malformed")
    assert at_home.refusal("talk", DEVICE_ID, "get", "/slow", "--timeout", "0.2")[:2] == (7, "unavailable")
    assert at_home.refusal("talk", "no-such-name", "get", "/value")[:2] == (5, "not_found")
    assert at_home.refusal("talk", "ADAAAAAAAAAAAAAAAAAAAA", "get", "/value")[:2] == (5, "not_found")
    code, error, detail = at_home.refusal("talk", DEVICE_ID, "get", "/value", profile="nobody")
    assert (code, error) == (5, "not_found")
    assert "admit provision" in detail


def test_a_device_that_is_offline_is_named(at_home: Home) -> None:
    at_home.run(lambda: setattr(at_home.world.relay, "close", (CloseCode.OFFLINE, "")))
    try:
        code, error, detail = at_home.refusal("talk", DEVICE_ID, "get", "/value")
    finally:
        at_home.run(lambda: setattr(at_home.world.relay, "close", None))
    assert (code, error) == (7, "device_offline")
    assert "--local" in detail


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "/value"),
        ("put", "/value", "--text", "a", "--cbor", "1"),
        ("post", "/echo", "--text", "a", "--content-format", "60"),
    ],
)
def test_wrong_usage_is_explained(at_home: Home, arguments: tuple[str, ...]) -> None:
    assert at_home.admit("talk", DEVICE_ID, *arguments).exit_code == 2


def test_a_body_that_is_no_json_is_named(at_home: Home) -> None:
    assert at_home.refusal("talk", DEVICE_ID, "post", "/echo", "--cbor", "{")[:2] == (9, "malformed")


def started(at_home: Home, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "ADMITTANCE_PROFILE": str(at_home.world.store.directory)}
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_help_shows_examples(at_home: Home) -> None:
    for command in ("get", "put", "post", "delete", "observe", "proxy"):
        assert "Example" in at_home.text("talk", "device", command, "--help")


def test_a_guest_talks_by_the_key_that_it_has_of_the_device(at_home: Home) -> None:
    at_home.run(at_home.world.hold)
    for name in ("lock-1", DEVICE_ID):
        assert at_home.object("talk", name, "get", "/value", profile="guest")["code"] == "2.05"
    at_home.run(at_home.world.device.granted.clear)
    code, error, detail = at_home.refusal("talk", DEVICE_ID, "get", "/value", profile="guest")
    assert (code, error) == (4, "authentication_failed")
    assert "used up" in detail


def test_who_neither_knows_a_device_nor_has_a_key_of_it_is_told_how_to_know_it(at_home: Home) -> None:
    at_home.run(lambda: at_home.world.other_app("nobody"))
    for name in ("lock-1", DEVICE_ID):
        assert at_home.refusal("talk", name, "get", "/value", profile="nobody")[:2] == (5, "not_found")
