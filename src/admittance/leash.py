"""Child processes that end when this one is killed, which can't end them itself then."""

import os
import shutil

_BEGIN_AS_CHILD = 'test "$PPID" = "$0" && exec "$@"'


def leash() -> tuple[str, ...]:
    """Return what to put before a command of a child of this process; nothing where there is no setpriv.

    The kernel ends the child with SIGTERM; one that was not on the leash yet when this process was killed, does not
    begin.
    """
    program = shutil.which("setpriv")
    begin = ("/bin/sh", "-c", _BEGIN_AS_CHILD, str(os.getpid()))
    return () if program is None else (program, "--pdeathsig", "TERM", "--", *begin)
