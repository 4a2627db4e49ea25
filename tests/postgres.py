"""A PostgreSQL of the tests' own: in a temporary folder, on a unix socket, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUPERUSER = "admittance"


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise RuntimeError("PostgreSQL's programs are missing; run: apt-get install postgresql")
    return Path(on_path).resolve().parent


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; give the SQLAlchemy URL of its database. PostgreSQL refuses root, so root steps down."""
    folder = Path(tempfile.mkdtemp(prefix="admittance-pg-", dir="/tmp"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}

    def run(*command: str) -> None:
        done = subprocess.run(
            [*as_user, *command], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")

    programs = binaries()
    try:
        run(
            *(str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "--auth=trust"),
            *("--encoding=UTF8", "--no-sync", "--no-instructions"),
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": "50",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(folder / "log")
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", log, "-o", options, "start")
        try:
            yield f"postgresql+asyncpg://{SUPERUSER}@/postgres?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
