"""The drivers in ``node``: programs by others, told what to do and heard a JSON object a line."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Self

from bench.load.token_servers import PEERS, node

ANSWER_WITHIN_S = 60.0


class Peer:
    """One run of a driver; use it as an async context manager."""

    def __init__(self, script: str, settings: dict[str, Any], ca_file: Path) -> None:
        self._command = [node(), str(PEERS / script), json.dumps(settings)]
        self._environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(ca_file)}

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, env=self._environment
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def hear(self) -> dict[str, Any]:
        """The next object. Fails where the peer refuses what the server did."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_WITHIN_S):
            line = await self._process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"failed": "the driver ended"}
        assert "failed" not in told, told
        return told

    async def tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()
