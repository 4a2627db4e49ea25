"""The product's relay as a process of its own: one node on SQLite, with devices and apps that it knows."""

import asyncio
import hashlib
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from admittance.demo.ports import free_ports
from admittance.server.config import Config, load_config
from admittance.server.foundation import open_foundation
from bench.load.generator import Server
from bench.load.population import MODEL, populate
from bench.load.processes import ServerProcess, running

# One machine is all devices and apps here, and they send all that they can: what a node's limits are there to stop.
LIMITS = """
[relay]
max_half_open_per_source = 512
app_frames_per_s = 1000000
app_bytes_per_s = 1000000000
device_frames_per_s = 1000000
device_bytes_per_s = 1000000000
"""

ADMIT = (sys.executable, "-c", "from admittance.cli import run; run()")


@contextmanager
def relay_node(folder: Path, *, device_count: int, account_count: int = 1) -> Iterator[tuple[ServerProcess, Server]]:
    """`admit relay` with devices that belong to accounts in turn."""
    folder.mkdir()
    people, first_contact, device, app_relay, device_relay = free_ports(5)
    file = folder / "server.toml"
    file.write_text(
        f'[server]\norigin = "https://localhost:{people}"\ndata_dir = "data"\n'
        f'[listen]\npeople = "127.0.0.1:{people}"\nfirst_contact = "127.0.0.1:{first_contact}"\n'
        f'device = "127.0.0.1:{device}"\napp_relay = "127.0.0.1:{app_relay}"\n'
        f'device_relay = "127.0.0.1:{device_relay}"\n'
        f'[models.{MODEL}]\ndisplay_name = "Lamp"\npresence = "display"\n{LIMITS}'
    )
    population = folder / "population.json"
    anchor, app_anchor = asyncio.run(_populate(load_config(file), population, device_count, account_count))
    with running([*ADMIT, "relay", "--config", str(file)], folder, device_relay) as process:
        shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", device_relay)))
        yield (
            process,
            Server(
                kind="relay",
                port=device_relay,
                anchor=anchor,
                app_port=app_relay,
                app_anchor=app_anchor,
                certificate_sha256=hashlib.sha256(shown).digest(),
                population=str(population),
            ),
        )


async def _populate(config: Config, file: Path, device_count: int, account_count: int) -> tuple[str, str]:
    """Make keys, schema and population; gives the CAs (PEM) of the listeners for devices and for people."""
    foundation = open_foundation(config)
    await foundation.database.migrate()
    made = await populate(foundation, device_count=device_count, account_count=account_count)
    made.save(file)
    await foundation.close()
    keystore = foundation.keystore
    return keystore.tls_anchor.certificate_pem.decode(), keystore.people_ca.certificate_pem.decode()
