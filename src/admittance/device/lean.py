"""Keeps out of the agent's process what it would load and never call. Import this before anything else.

Each line is a library's own import whose use the agent doesn't reach, with the memory that it takes (Python 3.11,
x86-64). An empty module stands in its place, so a use would fail loudly.
"""

import sys
from asyncio.sslproto import SSLProtocol
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, cast

UNUSED: Final = (
    "urllib.request",  # 1.5 MB: segno can send a code to a web service
    "msgspec.inspect",  # 0.3 MB: msgspec describes types to other tools
)
PURE_PYTHON_PROTOBUF: Final = "google.protobuf.internal.python_message"
"""0.9 MB: how protobuf makes messages where it has no compiled runtime."""

TLS_BUFFER_BYTES: Final = 16384
"""What asyncio keeps for each TLS connection: the most that a record holds, instead of 256 KB."""


def keep_out() -> None:
    """Put the empty modules into place."""
    # msgspec takes what it needs from typing when typing_extensions is absent, as on a device that installs nothing
    # else: 5 MB.
    cast(dict[str, Any], sys.modules)["typing_extensions"] = None
    for name in UNUSED:
        sys.modules[name] = ModuleType(name)
    if find_spec("google._upb") is not None:
        sys.modules[PURE_PYTHON_PROTOBUF] = ModuleType(PURE_PYTHON_PROTOBUF)
    SSLProtocol.max_size = TLS_BUFFER_BYTES


keep_out()
