"""A software TPM (swtpm) for development and tests: a process of its own on unix sockets that lives as long as ours.

Its state folder holds the TPM's seeds in the clear: whoever has the folder has the TPM.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from admittance.errors import ConfigurationError, TpmUnavailable
from admittance.leash import leash

START_S: Final = 10.0
STOP_S: Final = 5.0
STEP_S: Final = 0.01
ANSWER_S: Final = 2.0
FOLDER_MODE: Final = 0o700

_GET_RANDOM: Final = bytes.fromhex("80010000000c0000017b0004")
"""TPM2_GetRandom for 4 bytes (TPM 2.0 part 3, section 16.1): the shortest question that a TPM answers."""


@contextmanager
def software_tpm(state: Path) -> Iterator[str]:
    """Run the software TPM whose state is in the folder `state`, and give the TCTI that leads to it.

    A TPM that is not there yet is made. It ends with the context, and also if this process is killed. Raises
    `ConfigurationError` if swtpm is not installed, and `TpmUnavailable` if it does not start, for instance because
    another process runs the same TPM.
    """
    if shutil.which("swtpm") is None:
        raise ConfigurationError("A software TPM needs swtpm. Install the Debian package swtpm.")
    state.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="admit-tpm-") as folder:
        socket_path = Path(folder) / "tpm"
        process = _started(state, socket_path)
        try:
            yield f"swtpm:path={socket_path}"
        finally:
            _stop(process)


def _started(state: Path, socket_path: Path) -> subprocess.Popen[bytes]:
    """The process once it answers. A TPM that a killed process ran takes a moment to let go of its state."""
    deadline = time.monotonic() + START_S
    process = _spawn(state, socket_path)
    while not _answers(socket_path):
        if time.monotonic() > deadline:
            _stop(process)
            raise TpmUnavailable(f"The software TPM in {state} does not start. Does another process run it?")
        time.sleep(STEP_S)
        if process.poll() is not None:
            socket_path.unlink(missing_ok=True)
            process = _spawn(state, socket_path)
    return process


def _answers(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(socket_path))
            connection.sendall(_GET_RANDOM)
            return connection.recv(len(_GET_RANDOM)) != b""
        except OSError:
            return False


def _spawn(state: Path, socket_path: Path) -> subprocess.Popen[bytes]:
    """swtpm, which ends if this process is killed."""
    command = [*leash(), "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    command += ["--server", f"type=unixio,path={socket_path}", "--ctrl", f"type=unixio,path={socket_path}.ctrl"]
    command += ["--flags", "not-need-init,startup-clear"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
