"""The phone's flow against a real device machine and really sealed configurations."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from admittance.client.channel.cards import AppCard
from admittance.client.provisioning_events import DEADLINES_S, FactorAwaited
from admittance.errors import (
    AdmittanceError,
    Expired,
    NetworkFailure,
    NotAllowed,
    NotFound,
    Unavailable,
    WrongBinding,
    WrongCode,
    WrongDevice,
    WrongOrigin,
)
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.transaction_events import EnrolmentFinished
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.setup_code import SetupCode
from tests.unit.client.phone_world import (
    ACCESS_POINT,
    CODE,
    HOME,
    ORIGIN,
    WINDOW,
    WRONG,
    DeviceLink,
    World,
)


def qr(**changes: Any) -> PossessionQr:
    fields: dict[str, Any] = {
        "name": ACCESS_POINT.ssid,
        "username": CODE.username,
        "pop": CODE.code,
        "password": ACCESS_POINT.passphrase,
    }
    return PossessionQr(**(fields | changes))


async def test_a_display_device_is_set_up_with_one_network_at_a_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    done = await world.provisioning().run(qr())
    assert (done.device_id, done.purpose, done.attempts) == (world.device.device_id, "activate", 1)
    assert world.device.tried == [HOME]
    assert world.network.visited == ["internet", "device", "internet", "device", "internet"]
    with pytest.raises(NotFound):
        world.state.load()


async def test_phone_and_device_learn_each_others_channel_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.provisioning().run(qr())
    assert world.device.apps == [world.app]
    pinned = world.devices.find(world.device.device_id)
    [handed] = world.server.activated
    assert pinned.channel == read_evidence(handed.evidence).evidence.public_keys.channel
    assert (pinned.origin, pinned.epoch, pinned.name) == (ORIGIN, 1, "lamp-1")


async def test_no_key_is_pinned_before_the_server_vouched_for_the_device(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.answers_for = "ADAAAAAAAAAAAAAAAAAAAA"
    with pytest.raises(WrongDevice):
        await world.provisioning().run(qr())
    assert world.devices.all() == []


async def test_a_button_device_gets_its_code_from_the_server(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.device.open_window = WINDOW
    done = await world.provisioning().run(SetupCode(ORIGIN, world.device.device_id))
    assert done.device_id == world.device.device_id
    assert world.network.visited[:4] == ["internet", "device", "internet", "device"]


async def test_a_server_managed_network_never_reaches_the_phone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.owner.answers.clear()
    await world.provisioning(server_network="home").run(qr())
    assert world.device.tried == [HOME]


async def test_an_app_managed_network_never_reaches_the_server(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.provisioning().run(qr())
    [handed] = world.server.activated
    assert HOME.passphrase.encode() not in msgspec.json.encode(handed)


async def test_a_wrong_password_is_asked_again_without_another_activation(tmp_path: Path) -> None:
    world = World(tmp_path, WRONG, WRONG, HOME)
    done = await world.provisioning().run(qr())
    assert world.device.tried == [WRONG, WRONG, HOME]
    assert world.owner.causes == ["wrong_password", "wrong_password"]
    assert (len(world.server.activated), done.attempts) == (1, 3)


async def test_a_wrong_server_managed_network_is_mended_by_the_phone(tmp_path: Path) -> None:
    world = World(tmp_path, HOME)
    world.server.stored = WRONG
    await world.provisioning(server_network="home").run(qr())
    assert world.device.tried == [WRONG, HOME]
    assert len(world.server.activated) == 1


async def test_whoever_gives_up_on_the_password_can_go_on_later(tmp_path: Path) -> None:
    world = World(tmp_path, WRONG)
    with pytest.raises(NetworkFailure, match="--resume") as failure:
        await world.provisioning().run(qr())
    assert failure.value.cause == "wrong_password"
    world.owner.answers.append(HOME)
    await world.provisioning().resume(now=10)
    assert world.device.tried == [WRONG, HOME]


@pytest.mark.parametrize("step", ["activate", "configure", "send_network", "status"])
async def test_a_phone_killed_at_any_step_after_the_evidence_goes_on(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    where: Any = type(world.server) if step == "activate" else DeviceLink
    real: Callable[..., Awaitable[Any]] = getattr(where, step)

    async def killed_after(*arguments: Any) -> Any:
        await real(*arguments)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(where, step, killed_after)
        with pytest.raises(asyncio.CancelledError):
            await world.provisioning().run(qr())
    world.owner.answers = [HOME]
    done = await world.provisioning().resume(now=10)
    assert done.device_id == world.device.device_id
    assert world.device.tried[-1] == HOME


async def test_lost_answers_are_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    real = DeviceLink.configure

    async def lose(link: DeviceLink, sealed: bytes, app_key: bytes, app: AppCard) -> None:
        if not world.device.lose_answers and link.device.tried == []:
            world.device.lose_answers = 1
            monkeypatch.setattr(DeviceLink, "configure", real)
        await real(link, sealed, app_key, app)

    monkeypatch.setattr(DeviceLink, "configure", lose)
    await world.provisioning().run(qr())
    assert world.device.tried == [HOME]


async def test_a_code_of_another_server_is_refused_before_any_network_is_touched(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(WrongOrigin, match="elsewhere"):
        await world.provisioning().run(qr(origin="https://elsewhere"))
    with pytest.raises(WrongOrigin, match="elsewhere"):
        await world.provisioning().run(SetupCode("https://elsewhere", world.device.device_id))
    assert world.network.visited == []


async def test_an_outdated_code_is_refused_with_the_next_step(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(WrongCode, match="shows now"):
        await world.provisioning().run(qr(pop="OLD"))
    assert world.server.activated == []


async def test_the_label_of_a_display_device_sends_to_its_display(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.presence = "display"
    with pytest.raises(NotAllowed, match="display"):
        await world.provisioning().run(SetupCode(ORIGIN, world.device.device_id))


async def test_a_device_that_speaks_bluetooth_sends_to_the_app(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotAllowed, match="Bluetooth"):
        await world.provisioning().run(qr(transport="ble"))


async def test_a_closed_window_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotAllowed, match="button"):
        await world.provisioning().run(SetupCode(ORIGIN, world.device.device_id))


async def test_a_window_that_closed_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    windows = [WINDOW, b"x" * 16]

    async def window() -> bytes:
        return windows.pop(0)

    monkeypatch.setattr(world.device, "window", window)
    with pytest.raises(Expired, match="button"):
        await world.provisioning().run(SetupCode(ORIGIN, world.device.device_id))


LIES: list[tuple[dict[str, Any], type[AdmittanceError]]] = [
    ({"device_id": "ADAAAAAAAAAAAAAAAAAAAA"}, WrongDevice),
    ({"server_origin": "https://elsewhere"}, WrongOrigin),
]


@pytest.mark.parametrize(("lie", "expected"), LIES)
async def test_a_lying_hello_ends_it_before_anything_is_released(
    tmp_path: Path, lie: dict[str, Any], expected: type[AdmittanceError]
) -> None:
    world = World(tmp_path)
    world.device.lie = lambda hello: msgspec.structs.replace(hello, **lie)
    with pytest.raises(expected):
        await world.provisioning().run(qr())
    assert world.server.activated == []


async def test_a_label_of_another_device_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.device.open_window = WINDOW
    with pytest.raises(WrongDevice, match="label"):
        await world.provisioning().run(SetupCode(ORIGIN, "ADAAAAAAAAAAAAAAAAAAAA"))
    assert world.server.activated == []


async def test_evidence_of_another_session_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(DeviceLink, "binding", property(lambda self: b"m" * 32))
    with pytest.raises(WrongBinding):
        await world.provisioning().run(qr())
    assert world.server.activated == []


async def test_a_server_that_activates_another_device_gets_no_delivery(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.answers_for = "ADAAAAAAAAAAAAAAAAAAAA"
    with pytest.raises(WrongDevice):
        await world.provisioning().run(qr())
    assert world.device.tried == []


async def test_a_person_who_says_no_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.owner.agrees = False
    with pytest.raises(NotAllowed, match="Nothing has changed"):
        await world.provisioning().run(qr())
    assert world.server.activated == []


async def test_a_provisioning_that_is_too_old_is_dropped(tmp_path: Path) -> None:
    world = World(tmp_path, WRONG)
    with pytest.raises(NetworkFailure):
        await world.provisioning().run(qr())
    with pytest.raises(Expired):
        await world.provisioning().resume(now=1000)
    with pytest.raises(NotFound):
        await world.provisioning().resume(now=1000)


async def test_a_provisioning_of_another_server_is_not_gone_on_with(tmp_path: Path) -> None:
    world = World(tmp_path, WRONG)
    with pytest.raises(NetworkFailure):
        await world.provisioning().run(qr())
    world.change_saved(origin="https://elsewhere")
    with pytest.raises(WrongOrigin):
        await world.provisioning().resume(now=10)


async def test_a_device_that_does_not_answer_is_given_up_with_a_cause(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.device.lose_answers = 1000
    with pytest.raises(NetworkFailure):
        await world.provisioning().run(qr())


async def test_the_state_of_a_running_provisioning_is_for_its_owner_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "profile", WRONG)
    with pytest.raises(NetworkFailure):
        await world.provisioning().run(qr())
    path = tmp_path / "profile" / "provisioning.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert HOME.passphrase not in path.read_text()
    assert WRONG.passphrase not in path.read_text()


def test_values_with_secrets_do_not_show_them() -> None:
    assert CODE.code not in repr(CODE)
    assert ACCESS_POINT.passphrase not in repr(replace(ACCESS_POINT))


async def test_a_server_that_hangs_is_given_up_with_a_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.server, "challenge", hang)
    monkeypatch.setitem(DEADLINES_S, "challenge", 0)
    with pytest.raises(Unavailable, match="server does not answer"):
        await world.provisioning().run(qr())


async def test_the_person_s_codes_go_to_the_device_until_one_holds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.second_factor, world.device.good_code = ("code", "approval"), "7F3K-9Q2M"
    world.owner.codes = ["WRONG", "7F3K-9Q2M"]
    await world.provisioning().run(qr())
    assert world.device.codes == ["WRONG", "7F3K-9Q2M"]
    assert world.owner.causes == ["refused=False", "refused=True"]


@pytest.mark.parametrize("kinds", [("approval",), ("code", "approval")])
async def test_without_a_code_the_phone_waits_for_another_factor(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    world = World(tmp_path)
    world.server.second_factor, world.device.good_code = kinds, "7F3K-9Q2M"
    provisioning = asyncio.create_task(world.provisioning().run(qr()))
    while not any(isinstance(event, FactorAwaited) for event in world.owner.events):
        await asyncio.sleep(0)
    world.device.machine.notify(EnrolmentFinished(1))
    await provisioning
    assert world.device.codes == []
