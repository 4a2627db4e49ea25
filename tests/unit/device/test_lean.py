"""What is kept out of the agent's process is not needed there."""

import subprocess
import sys

LOADS = """
import sys
import admittance.device.lean
from admittance.device import program
from admittance.device.lean import PURE_PYTHON_PROTOBUF, UNUSED
for name in (*UNUSED, PURE_PYTHON_PROTOBUF):
    assert not vars(sys.modules[name]).get("__file__"), name
assert "google.protobuf.text_format" not in sys.modules
"""


def test_the_agent_loads_without_what_is_kept_out() -> None:
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
