"""Ports for programs: free, and never the same for two processes."""

import json
import socket
import subprocess
import sys

from admittance.demo.ports import LISTENING, free_ports

COUNT = 200
OTHER = f"""
import json, sys
from admittance.demo.ports import free_ports
print(json.dumps(free_ports({COUNT})), flush=True)
sys.stdin.read()
"""


def test_ports_are_distinct_and_can_be_listened_on() -> None:
    ports = free_ports(COUNT)
    assert len(set(ports)) == COUNT
    assert set(ports) < set(LISTENING)
    with socket.create_server(("127.0.0.1", ports[0])):
        assert ports[0] not in free_ports(100)


def test_processes_find_different_ports() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = set(json.loads(other.stdout.readline()))
        assert not theirs & set(free_ports(COUNT))
        assert other.stdin is not None
        other.stdin.close()
