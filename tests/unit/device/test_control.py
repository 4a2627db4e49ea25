import asyncio
import stat
from pathlib import Path

import pytest

from admittance.device.control import Answer, ControlSocket, ask
from admittance.errors import Conflict, Refused, Unavailable


async def press() -> Answer:
    return {"access_point": "PROV_ABCDEF"}


async def refuse() -> Answer:
    raise Conflict("Not now.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is longer than a unix socket's may be."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder


async def test_a_command_is_answered(folder: Path) -> None:
    socket = ControlSocket(folder, {"press": press, "refuse": refuse})
    await socket.open()
    assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o600
    assert await ask(folder, "press") == {"access_point": "PROV_ABCDEF"}
    with pytest.raises(Refused, match="Not now"):
        await ask(folder, "refuse")
    with pytest.raises(Refused, match="press, refuse"):
        await ask(folder, "explode")
    await socket.close()
    with pytest.raises(Unavailable, match="No agent"):
        await ask(folder, "press")


async def test_the_socket_of_a_killed_agent_is_replaced(folder: Path) -> None:
    (folder / "control.sock").touch()
    socket = ControlSocket(folder, {"press": press})
    await socket.open()
    assert await ask(folder, "press")
    await socket.close()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"{}\n", b"x" * 10_000])
async def test_nonsense_is_refused_and_the_socket_lives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    socket = ControlSocket(folder, {"press": press})
    await socket.open()
    monkeypatch.chdir(folder)
    reader, writer = await asyncio.open_unix_connection("control.sock")
    writer.write(line)
    assert b'"ok": false' in await reader.readline()
    writer.close()
    assert await ask(folder, "press")
    await socket.close()


async def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not the state folder"):
        await ask(tmp_path / "none", "press")
