"""A PostgreSQL of one's own: in a temporary folder, on a unix socket, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from admittance.errors import ConfigurationError, Unavailable

SUPERUSER: Final = "admittance"
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
}
"""Nothing outlives the folder, so nothing is made to survive a power cut."""


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; give the SQLAlchemy URL of its database.

    Raises `ConfigurationError` where its programs are missing, `Unavailable` when they fail.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="admittance-pg-", dir="/tmp"))
    try:
        data = folder / "data"
        run = _Runner(folder)
        run(
            *(programs / "initdb", "-D", data, "-U", SUPERUSER, "--auth=trust"),
            *("--encoding=UTF8", "--no-sync", "--no-instructions"),
        )
        settings = {**SETTINGS, "unix_socket_directories": str(folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        control = (programs / "pg_ctl", "-D", data)
        run(*control, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+asyncpg://{SUPERUSER}@/postgres?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


class _Runner:
    """Runs PostgreSQL's programs in `folder`. They refuse root, so root steps down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
            self._prefix = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")

    def __call__(self, *command: str | Path) -> None:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self._folder)}
        done = subprocess.run(
            [*self._prefix, *map(str, command)],
            env=environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise ConfigurationError("PostgreSQL's programs are missing. Install the Debian package postgresql")
    return Path(on_path).resolve().parent
