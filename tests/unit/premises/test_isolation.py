import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.premises import isolation
from admittance.premises.station import Station
from tests.premises_world import Echo

PROCESS = Path(__file__).with_name("isolated_process.py")


async def test_isolated_process_has_one_network_at_a_time_and_no_other_way_out(socket_path: Path, echo: Echo) -> None:
    device = await Station.attach(socket_path, "device")
    await device.open_access_point("PROV_A1B2C3", "twelve chars", Echo().serve)
    process = await asyncio.create_subprocess_exec(
        *isolation.prefix(),
        sys.executable,
        str(PROCESS),
        str(socket_path),
        str(echo.port),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(output) == {
        "direct": "OSError",
        "interfaces": ["lo"],
        "through_home": True,
        "home_after_mobile": False,
        "through_mobile": True,
        "mobile_after_access_point": False,
        "server_from_access_point": "no_server",
        "through_access_point": True,
    }
    await device.close()


async def test_the_same_process_without_isolation_does_reach_the_host(echo: Echo) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()


def test_system_that_allows_no_namespace_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess((), returncode=1)

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(ConfigurationError, match="user namespaces"):
        isolation.prefix()


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="util-linux"):
        isolation.prefix()
