import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from admittance.errors import ConfigurationError, TpmUnavailable
from admittance.tpm import software
from admittance.tpm.keys import TpmKeys
from admittance.tpm.software import software_tpm

RUN_AND_WAIT = """
import sys, time
from pathlib import Path
from admittance.tpm.software import software_tpm
with software_tpm(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(60)
"""


def test_a_tpm_keeps_its_keys_from_run_to_run(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with software_tpm(tmp_path / "tpm") as tcti:
            seen.add(TpmKeys(tcti).identity().spki)
    assert len(seen) == 1


def test_no_two_tpms_are_alike(tmp_path: Path) -> None:
    with software_tpm(tmp_path / "a") as first, software_tpm(tmp_path / "b") as second:
        assert TpmKeys(first).identity().spki != TpmKeys(second).identity().spki


def test_a_killed_process_takes_its_tpm_along(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN_AND_WAIT, str(tmp_path)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.kill(process.pid, signal.SIGKILL)
    with software_tpm(tmp_path) as tcti:
        assert TpmKeys(tcti).identity()


def test_a_tpm_that_another_process_runs_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "START_S", 0.5)
    with (
        software_tpm(tmp_path),
        pytest.raises(TpmUnavailable, match="another process"),
        software_tpm(tmp_path),
    ):
        time.sleep(0)


def test_without_swtpm_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Install the Debian package swtpm"), software_tpm(tmp_path):
        time.sleep(0)
