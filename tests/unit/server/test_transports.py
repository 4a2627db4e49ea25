import asyncio

import pytest

from admittance.server.transports import HttpTransport
from admittance.server.turn import Turn, flush_all


class Below:
    """A transport that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.is_over = False

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def is_closing(self) -> bool:
        return self.is_over

    def get_extra_info(self, name: str) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.fixture
async def below() -> Below:
    return Below()


@pytest.fixture
async def transport(below: Below) -> HttpTransport:
    return HttpTransport(below, asyncio.get_running_loop(), Turn(flush_all))


async def test_an_answer_is_written_when_the_turn_is_over(below: Below, transport: HttpTransport) -> None:
    transport.write_in_turn(b"first")
    transport.write_in_turn(b"second")
    assert below.told == []
    await asyncio.sleep(0)
    assert below.told == [b"firstsecond"]


async def test_what_is_written_at_once_overtakes_no_answer(below: Below, transport: HttpTransport) -> None:
    transport.write_in_turn(b"answer")
    transport.write(b"400")
    await asyncio.sleep(0)
    assert below.told == [b"answer", b"400"]


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_answer_is_not_lost_with_the_connection(below: Below, transport: HttpTransport, end: str) -> None:
    transport.write_in_turn(b"answer")
    getattr(transport, end)()
    assert below.told == [b"answer", end]


async def test_nothing_is_written_to_a_connection_that_is_gone(below: Below, transport: HttpTransport) -> None:
    transport.write_in_turn(b"answer")
    below.is_over = True
    await asyncio.sleep(0)
    assert below.told == []
