from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.device.applications import Application, Caller, Content, Request
from admittance.device.applications.loading import load
from admittance.errors import ConfigurationError, Malformed, Misuse
from admittance.wire import senml
from admittance.wire.coap import formats

CALLER = Caller(bytes(8), "owner", "phone")
TEN_LINES = """
from admittance.device.applications import Application, Content, Request

app = Application("greeting")

@app.resource("/greeting", observable=True)
async def greeting(request: Request) -> Content:
    return Content.text("hello")
"""


class Host:
    folder = Path()

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def changed(self, path: str) -> None:
        self.calls.append(("changed", path))

    def record(self, name: str, value: object, unit: str) -> None:
        self.calls.append(("record", name, value, unit))


def asked(payload: bytes, content_format: int | None = None) -> Request:
    return Request("PUT", "/a", CALLER, payload, content_format)


def test_an_application_tells_its_device_once_that_is_on() -> None:
    app, host = Application("a"), Host()
    app.changed("/a")
    app.record("t", 1)
    app.start(host)
    app.changed("/a")
    app.record("t", 1, "Cel")
    assert host.calls == [("changed", "/a"), ("record", "t", 1, "Cel")]


@pytest.mark.parametrize(
    "path",
    ["a", "/", "/a/", "/a//b", "/ä", "/info", "/info/x", "/.well-known/core", "/server/x", "/credentials", "/a/*"],
)
def test_a_path_that_is_none_or_taken_is_our_mistake(path: str) -> None:
    with pytest.raises(Misuse):
        Application("a").resource(path)


def test_a_path_is_taken_once() -> None:
    app = Application("a")

    @app.resource("/a")
    async def first(_request: Request) -> Content:
        return Content()

    with pytest.raises(Misuse):
        app.resource("/a")


@pytest.mark.parametrize(
    ("payload", "content_format"),
    [(cbor2.dumps({"a": 1.5}), None), (cbor2.dumps({"a": 1.5}), formats.CBOR), (b'{"a": 1.5}', formats.JSON)],
)
def test_a_value_is_read_by_its_format(payload: bytes, content_format: int | None) -> None:
    assert asked(payload, content_format).value() == {"a": 1.5}
    assert asked(payload, content_format).field("a") == 1.5


@given(st.binary(max_size=100), st.sampled_from([None, formats.CBOR, formats.JSON]))
def test_an_arbitrary_payload_is_a_value_or_malformed(payload: bytes, content_format: int | None) -> None:
    try:
        asked(payload, content_format).value()
    except Malformed:
        return


@pytest.mark.parametrize(
    ("read", "payload"),
    [
        (Request.value, cbor2.dumps([[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]])),
        (Request.value, b"\x81" * 60000),
        (Request.text, b"\xff"),
        (lambda request: request.field("a"), cbor2.dumps([1])),
        (lambda request: request.field("a"), cbor2.dumps({"b": 1})),
    ],
)
def test_a_payload_of_another_form_is_malformed(read: Callable[[Request], object], payload: bytes) -> None:
    with pytest.raises(Malformed):
        read(asked(payload))


def test_content_knows_its_format() -> None:
    assert Content.text("a") == Content(b"a", formats.TEXT)
    assert Content.json({"a": 1}) == Content(b'{"a":1}', formats.JSON)
    assert Content.cbor(21.5) == Content(cbor2.dumps(21.5, canonical=True), formats.CBOR)
    record = senml.Record("t", 21.5, "Cel")
    assert senml.decode(Content.senml([record]).payload) == (record,)


async def test_an_application_of_ten_lines_loads_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "greeting.py"
    file.write_text(TEN_LINES)
    app = load(str(file))
    assert (await app.resources["/greeting"].handler(asked(b""))).payload == b"hello"


@pytest.mark.parametrize("text", ["", "lamp", "climate:/absent", "lock:left"])
def test_an_application_that_is_not_there_is_a_mistake_of_the_command(text: str) -> None:
    with pytest.raises(ConfigurationError):
        load(text)


@pytest.mark.parametrize("source", ["", "app = 1", "raise ValueError", "import nothing_of_this_name", "app ="])
def test_a_file_without_an_application_is_told(tmp_path: Path, source: str) -> None:
    file = tmp_path / "app.py"
    file.write_text(source)
    with pytest.raises(ConfigurationError):
        load(str(file))


async def test_the_climate_is_simulated_or_measured(tmp_path: Path) -> None:
    simulated = load("climate")
    for path, unit in (("/sensors/temperature", "Cel"), ("/sensors/humidity", "%RH")):
        content = await simulated.resources[path].handler(asked(b""))
        (record,) = senml.decode(content.payload)
        assert record.unit == unit
    (tmp_path / "temp1_input").write_text("21500\n")
    measured = load(f"climate:{tmp_path}")
    content = await measured.resources["/sensors/temperature"].handler(asked(b""))
    assert senml.decode(content.payload)[0].value == 21.5
    assert "/sensors/humidity" not in measured.resources
