"""A guest's app and its fake, with the integrity service that tells them apart, as programs of a demonstration."""

import shutil
import ssl
from pathlib import Path
from typing import Final

import httpx

import admittance
from admittance.client.oauth.authorization_server import CLIENT_ID
from admittance.demo.ports import free_ports
from admittance.demo.processes import ADMIT, Outcome
from admittance.demo.stage import Stage

CHANGED_FILE: Final = "client/api.py"


class IntegrityService:
    """`admit integrity serve`, which knows one release: this program."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        (self._port,) = free_ports(1)
        self.app = Path(admittance.__file__).parent

    @property
    def origin(self) -> str:
        return f"https://localhost:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self._data / "integrity-ca.pem"

    def tables(self) -> str:
        """The server's configuration: whose attestations count."""
        return f'[integrity]\nissuer = "{self.origin}"\nca_file = "{self.ca_file}"\n\n'

    async def start(self) -> None:
        """Start the service, and register the release."""
        self._config.write_text(
            f'[service]\norigin = "{self.origin}"\nlisten = "127.0.0.1:{self._port}"\ndata_dir = "{self._data}"\n\n'
            f'[database]\nurl = "sqlite+aiosqlite:///{self._data / "integrity.db"}"\n',
            encoding="utf-8",
        )
        await self._stage.admit(
            *("release", "integrity", "release", "add", self.app, "--client-id", CLIENT_ID),
            *("--version", admittance.__version__, "--config", self._config),
        )
        program = await self._stage.programs.start(
            "integrity", [*ADMIT, "integrity", "serve", "--config", self._config, "--json"]
        )
        await program.ready(self._is_up)

    def fake(self) -> Path:
        """A copy of the app in which somebody changed a line."""
        copy = self._stage.folder / "fake-app"
        shutil.copytree(self.app, copy, ignore=shutil.ignore_patterns("__pycache__"))
        changed = copy / CHANGED_FILE
        changed.write_text(changed.read_text(encoding="utf-8") + "\n# and send a copy to me\n", encoding="utf-8")
        return copy

    async def attest(self, profile: Path, *, folder: Path | None = None, expect: int | None = 0) -> Outcome:
        """Have the app in `folder` prove itself; the attestation is kept in the profile."""
        return await self._stage.admit(
            *("attest", "integrity", "attest", "--service", self.origin, "--client-id", CLIENT_ID),
            *("--ca-file", self.ca_file, "--folder", folder or self.app, "--profile", profile),
            expect=expect,
        )

    @property
    def _config(self) -> Path:
        return self._stage.folder / "integrity.toml"

    @property
    def _data(self) -> Path:
        return self._stage.folder / "integrity"

    async def _is_up(self) -> bool:
        if not self.ca_file.exists():
            return False
        try:
            trust = ssl.create_default_context(cafile=self.ca_file)
            async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
                return (await client.get(f"{self.origin}/healthz")).status_code == 200
        except httpx.TransportError:
            return False
