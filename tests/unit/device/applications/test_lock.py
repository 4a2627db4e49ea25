"""The lock, with the power failing between any two steps: an order moves the bolt at most once."""

from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest

from admittance.device.applications import Application, Caller, Request
from admittance.device.applications.lock import PATH, Lock, Position, make
from admittance.errors import ConfigurationError, Malformed
from admittance.wire.coap import formats
from tests.unit.device.killing_files import KillingFiles, PowerCut

CALLER = Caller(bytes(8), "owner", "phone")


class Bolt:
    """Counts its movements; with `cut` the power fails just after one."""

    def __init__(self, *, cut: bool = False) -> None:
        self.moves: list[Position] = []
        self.cut = cut

    def move(self, position: Position) -> None:
        self.moves.append(position)
        if self.cut:
            raise PowerCut


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []

    def changed(self, path: str) -> None:
        self.told.append(path)

    def record(self, name: str, value: object, unit: str) -> None:
        raise AssertionError


def steps(folder: Path) -> int:
    files = KillingFiles()
    Lock(Bolt(), folder / "counted", files).carry_out("unlocked")
    return files.steps


def test_a_lock_begins_locked_and_remembers(tmp_path: Path) -> None:
    bolt = Bolt()
    lock = Lock(bolt, tmp_path / "order")
    assert lock.state == "locked"
    lock.carry_out("unlocked")
    assert lock.state == "unlocked"
    assert Lock(bolt, tmp_path / "order").state == "unlocked"
    assert bolt.moves == ["unlocked"]


def test_an_order_for_where_the_bolt_is_moves_nothing(tmp_path: Path) -> None:
    bolt = Bolt()
    Lock(bolt, tmp_path / "order").carry_out("locked")
    assert bolt.moves == []


def test_cut_at_any_step_an_order_is_never_carried_out_twice(tmp_path: Path) -> None:
    for step in range(1, steps(tmp_path) + 1):
        path = tmp_path / f"order-{step}"
        bolt = Bolt()
        with pytest.raises(PowerCut):
            Lock(bolt, path, KillingFiles(step)).carry_out("unlocked")
        again = Lock(bolt, path)
        assert len(bolt.moves) <= 1
        if bolt.moves:
            assert again.state in ("unlocked", "unknown")
        before = len(bolt.moves)
        Lock(bolt, path)
        assert len(bolt.moves) == before


def test_cut_while_the_bolt_moves_nobody_knows_where_it_is_until_the_next_order(tmp_path: Path) -> None:
    bolt = Bolt(cut=True)
    with pytest.raises(PowerCut):
        Lock(bolt, tmp_path / "order").carry_out("unlocked")
    again = Lock(Bolt(), tmp_path / "order")
    assert again.state == "unknown"
    again.carry_out("unlocked")
    assert again.state == "unlocked"


def test_a_damaged_order_is_told(tmp_path: Path) -> None:
    (tmp_path / "order").write_bytes(b"?")
    with pytest.raises(ConfigurationError):
        Lock(Bolt(), tmp_path / "order")


def request(method: str, value: object = None, encode: Callable[[object], bytes] = cbor2.dumps) -> Request:
    return Request(
        method="PUT" if method == "PUT" else "GET",
        path=PATH,
        caller=CALLER,
        payload=b"" if value is None else encode(value),
        content_format=formats.CBOR,
    )


async def test_over_a_channel_the_lock_is_set_read_and_observed(tmp_path: Path) -> None:
    app = make("")
    host = Host(tmp_path)
    app.start(host)
    answer = app.resources[PATH].handler
    content = await answer(request("PUT", {"state": "unlocked"}))
    assert cbor2.loads(content.payload) == {"state": "unlocked"}
    assert cbor2.loads((await answer(request("GET"))).payload) == {"state": "unlocked"}
    assert host.told == [PATH]
    assert (tmp_path / "bolt").read_text() == "unlocked\n"


@pytest.mark.parametrize("value", [{"state": "ajar"}, {"other": 1}, "unlocked", None])
async def test_an_order_that_is_none_moves_nothing(tmp_path: Path, value: object) -> None:
    app = make("")
    app.start(Host(tmp_path))
    with pytest.raises(Malformed):
        await app.resources[PATH].handler(request("PUT", value))
    assert not (tmp_path / "bolt").exists()


def test_a_lock_takes_no_argument() -> None:
    with pytest.raises(ConfigurationError):
        make("left")


def test_the_lock_is_an_application() -> None:
    assert isinstance(make(""), Application)
