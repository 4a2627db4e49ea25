"""A device that can't do TLS: nothing is relayed to it before it proved its channel key to the server."""

from pathlib import Path

from admittance.demo.household import Household, until
from admittance.demo.ports import free_ports
from admittance.demo.processes import ADMIT, Programs
from admittance.demo.stage import Stage, device_model

LAMP = ("--presence", "display", "--seal", "hybrid", "--certified")
LOCK = ("--application", "lock", "--poll-s", "0.5", "--relay-plain")


def write_config(stage: Stage, tables: str = "") -> None:
    """The port of the premises that leads to the relay is that of the listener without TLS."""
    [with_tls] = free_ports(1)
    stage.write_config(tables, server=f'device_relay_urls = ["ws://localhost:{stage.ports.device_relay}"]')
    both = f'device_relay = "127.0.0.1:{with_tls}"\ndevice_relay_plain = "127.0.0.1:'
    stage.config.write_text(stage.config.read_text().replace('device_relay = "127.0.0.1:', both))


async def test_a_device_without_tls_talks_once_it_proved_itself_to_the_server(tmp_path: Path) -> None:
    async with Programs(tmp_path / "logs") as programs:
        stage = Stage(tmp_path, programs)
        write_config(stage)
        server = await stage.serve()
        await stage.init_maker()
        await server.end()
        lamp = device_model("lamp", "display", "certified", ["acme"])
        write_config(stage, f'[makers.acme]\nca_file = "{stage.factory / "maker-ca.pem"}"\n\n{lamp}')
        await stage.serve()
        await stage.open_premises()
        home = Household(stage)
        await home.open_account()
        device = await home.make("lamp", *LAMP)
        await home.switch_on(device, *LOCK)
        await home.provision(await home.photograph(device), *home.wifi(stage.wifi_password))
        await until(lambda: device.told("relay_connected") == 1, "The device is on the relay.")
        await until(lambda: device.told("channel_established") == 1, "The server has a channel to it.")
        talk = ("talk", device.device_id, "get", "/lock", "--profile", home.profile, "--json")
        assert (await programs.run("talk", [*ADMIT, *talk])).last["value"] == {"state": "locked"}
        assert device.program is not None
        text = device.program.log.read_text()
        assert text.index('"role": "server"') < text.index('"role": "owner"')
