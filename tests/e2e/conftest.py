"""A household with real processes: server, premises, devices and phones, the last two without the host's network."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.demo.household import Household
from admittance.demo.ports import free_ports
from admittance.demo.processes import Programs
from admittance.demo.stage import Stage, device_model

LAMPS = ("lamp-a", "lamp-b", "lamp-c", "lamp-d", "lamp-e")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Household]:
    """An owner with a phone that is logged in, at a server that takes certified lamps; the premises are open."""
    folder: Path = tmp_path_factory.mktemp("home")
    async with Programs(folder / "logs") as programs:
        (plain_port,) = free_ports(1)
        stage = Stage(folder, programs, relay_ports=(plain_port,))
        stage.write_config()
        server = await stage.serve()
        await stage.init_maker()
        await server.end()
        models = "".join(device_model(lamp, "display", "certified", ["acme"]) for lamp in LAMPS)
        urls = f"wss://localhost:{stage.ports.device_relay}", f"ws://localhost:{plain_port}"
        stage.write_config(
            f'[makers.acme]\nca_file = "{stage.factory / "maker-ca.pem"}"\n\n{models}',
            server=f"device_relay_urls = {list(urls)}\n",
        )
        _listen_without_tls(stage.config, plain_port)
        await stage.serve()
        await stage.open_premises()
        household = Household(stage)
        await household.open_account()
        yield household


def _listen_without_tls(config: Path, port: int) -> None:
    """Let devices that can't do TLS reach the relay, too."""
    text = config.read_text(encoding="utf-8")
    plain = f'[listen]\ndevice_relay_plain = "127.0.0.1:{port}"\n'
    config.write_text(text.replace("[listen]\n", plain), encoding="utf-8")
