"""The agent's control socket: what the button and the owner of the machine can do.

A unix socket of mode 0600 in the state folder; one JSON object a line in each direction.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from admittance.device.files import PRIVATE_MODE
from admittance.errors import AdmittanceError, Malformed, Refused, Unavailable

SOCKET_NAME: Final = "control.sock"
MAX_LINE_BYTES: Final = 4096

Answer: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[], Awaitable[Answer]]
Taker: TypeAlias = Callable[[dict[str, str]], Awaitable[Answer]]


class ControlSocket:
    """Serves `handlers` by the name of their command; `takers` are those that take arguments, all of them text."""

    def __init__(
        self, folder: Path, handlers: Mapping[str, Handler], takers: Mapping[str, Taker] | None = None
    ) -> None:
        self._path = folder / SOCKET_NAME
        self._handlers = handlers
        self._takers = takers or {}
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket that a killed agent left behind is replaced."""
        self._path.unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._server = await asyncio.start_unix_server(self._serve, _short_path(folder), limit=MAX_LINE_BYTES)
            self._path.chmod(PRIVATE_MODE)
        finally:
            os.close(folder)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                answer = {"ok": True, **await self._answer(await reader.readline())}
            except AdmittanceError as error:
                answer = {"ok": False, "error": error.code, "detail": str(error)}
            except ValueError:
                answer = {"ok": False, "error": Malformed.code, "detail": "The line is too long."}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except ValueError as error:
            raise Malformed("A command is one JSON object on one line.") from error
        command = str(request.pop("command", "")) if isinstance(request, dict) else ""
        if command in self._takers and all(isinstance(value, str) for value in request.values()):
            return await self._takers[command](request)
        handler = self._handlers.get(command)
        if handler is None:
            raise Malformed(f"Commands are: {', '.join(sorted({*self._handlers, *self._takers}))}.")
        return await handler()


async def ask(folder: Path, command: str, **arguments: str) -> Answer:
    """Send `command` to the agent of `folder` and return its answer.

    Raises `Unavailable` if no agent runs there, `Refused` if it refuses.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Unavailable(f"{folder} is not the state folder of a device.") from error
    try:
        reader, writer = await asyncio.open_unix_connection(_short_path(descriptor))
    except OSError as error:
        raise Unavailable(f"No agent runs on {folder}. Start it: admit device run --state {folder} …") from error
    finally:
        os.close(descriptor)
    try:
        writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise Unavailable("The agent ended before it answered.")
    answer: Answer = json.loads(line)
    if not answer.pop("ok"):
        raise Refused(str(answer.get("detail")))
    return answer


def _short_path(folder: int) -> str:
    """The socket's path through an open folder: the path of a unix socket has at most 107 bytes."""
    return f"/proc/self/fd/{folder}/{SOCKET_NAME}"
