"""Processes without any network of the host.

A process that starts behind `prefix()` lives in an empty network namespace: even its loopback interface is down. A
unix socket in the file system still works, so the premises are its only way out.
"""

import os
import shutil
import subprocess

from admittance.errors import ConfigurationError

PROBE_TIMEOUT_S = 10


def prefix() -> tuple[str, ...]:
    """The arguments to put before a command so that it runs in an empty network namespace (`unshare(1)`).

    Raises `ConfigurationError` where neither root nor unprivileged user namespaces allow it.
    """
    program = shutil.which("unshare")
    if program is None:
        raise ConfigurationError("unshare is missing; install Debian's util-linux")
    ways: list[tuple[str, ...]] = [(program, "--map-root-user", "--net", "--")]
    if os.geteuid() == 0:
        ways.insert(0, (program, "--net", "--"))
    for way in ways:
        if _works(way):
            return way
    raise ConfigurationError(
        "This system lets nobody make a network namespace. Run as root in a container with CAP_SYS_ADMIN, or allow "
        "unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces)."
    )


def _works(way: tuple[str, ...]) -> bool:
    try:
        probe = subprocess.run((*way, "true"), capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0
