import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from admittance.device.display.port import NoDisplay
from admittance.device.onboarding import Onboarding, Owner, Times
from admittance.device.radio.port import Radio
from admittance.errors import Refused
from admittance.protocol.provisioning.transaction import Transaction
from tests.unit.device.births import make_birth


class SlowRadio:
    """Takes a moment to open and close, and refuses a second access point."""

    def __init__(self) -> None:
        self.history: list[str] = []

    async def open_access_point(self, *_arguments: object) -> None:
        if self.history[-1:] == ["open"]:
            raise Refused("There is an access point already.")
        self.history.append("open")
        await asyncio.sleep(0)

    async def close_access_point(self) -> None:
        await asyncio.sleep(0)
        self.history.append("close")


@pytest.fixture
def radio() -> SlowRadio:
    return SlowRadio()


@pytest.fixture
def onboarding(tmp_path: Path, radio: SlowRadio) -> Onboarding:
    transaction: Any = SimpleNamespace(endpoints=dict, complete=False, deadline=lambda _now: None)
    return Onboarding(
        birth=make_birth(tmp_path, presence="button").birth,
        radio=cast(Radio, radio),
        display=NoDisplay(),
        transaction=cast(Transaction, transaction),
        owner=cast(Owner, SimpleNamespace()),
        log=lambda *_arguments, **_details: None,
        monotonic=time.monotonic,
        random=os.urandom,
        times=Times(),
        qr_form="stock",
    )


async def test_a_press_while_the_access_point_opens_keeps_it_open(onboarding: Onboarding, radio: SlowRadio) -> None:
    await asyncio.gather(onboarding.open("power_up"), onboarding.open("press"), onboarding.open("press"))
    assert onboarding.is_open
    assert radio.history == ["open"]


async def test_a_press_while_the_access_point_closes_opens_it_again(onboarding: Onboarding, radio: SlowRadio) -> None:
    await onboarding.open("power_up")
    await asyncio.gather(onboarding.close(), onboarding.close(), onboarding.open("press"))
    assert onboarding.is_open
    assert radio.history == ["open", "close", "open"]
