"""A door lock: an order moves the bolt at most once, whenever the power fails.

The order is on the disk before the bolt moves, and its end before the answer goes out. A power cut in between leaves
an order of which nobody knows whether the bolt moved: it is never carried out again, and the state is ``unknown``
until the next order.
"""

import asyncio
import os
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from admittance.device.applications import Application, Content, Host, Request
from admittance.device.files import PRIVATE_MODE, Files, write_atomically
from admittance.errors import ConfigurationError, Malformed
from admittance.wire import message
from admittance.wire.message import Message, Unsigned

PATH: Final = "/lock"

Position: TypeAlias = Literal["locked", "unlocked"]


class Order(Message, frozen=True, tag="admittance/lock-order/1"):
    """The latest order. `done` is true once the bolt moved."""

    number: Unsigned
    position: Position
    done: bool


class Bolt(Protocol):
    """What moves."""

    def move(self, position: Position) -> None:
        """Move the bolt; when this returns it has."""


class SimulatedBolt:
    """Notes each of its movements as a line of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def move(self, position: Position) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_MODE)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{position}\n")
            stream.flush()
            os.fsync(descriptor)


class Lock:
    """The bolt, and the order that it was given last, in the file at `path`."""

    def __init__(self, bolt: Bolt, path: Path, files: Files | None = None) -> None:
        """Raises `ConfigurationError` if the file is damaged."""
        self._bolt = bolt
        self._path = path
        self._files = files or Files()
        self._order = self._load()

    @property
    def state(self) -> str:
        """``locked``, ``unlocked`` or ``unknown``."""
        return self._order.position if self._order.done else "unknown"

    def carry_out(self, position: Position) -> None:
        """Move the bolt to `position`, unless it is there. Raises `OSError` if the disk fails."""
        if self.state == position:
            return
        order = Order(self._order.number + 1, position, done=False)
        self._save(order)
        self._bolt.move(position)
        self._save(Order(order.number, position, done=True))

    def _load(self) -> Order:
        data = self._files.read(self._path)
        if data is None:
            return Order(0, "locked", done=True)
        try:
            return message.decode(data, Order)
        except Malformed as error:
            raise ConfigurationError(f"{self._path} is damaged. Remove it, then give the lock an order.") from error

    def _save(self, order: Order) -> None:
        write_atomically(self._path, message.encode(order), self._files)
        self._order = order


class LockApplication(Application):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("lock")
        self._lock: Lock | None = None
        self._one_order = asyncio.Lock()

    @property
    def state(self) -> str:
        return "unknown" if self._lock is None else self._lock.state

    def start(self, host: Host) -> None:
        super().start(host)
        self._lock = Lock(SimulatedBolt(host.folder / "bolt"), host.folder / "order.cbor")

    async def order(self, position: Position) -> None:
        """Carry an order out, once, whether or not its sender waits for the end."""
        async with self._one_order:
            if self._lock is not None:
                self._lock.carry_out(position)
        self.changed(PATH)


def make(argument: str) -> Application:
    """A lock with a simulated bolt, whose movements are in the file ``bolt`` of the application's folder."""
    if argument:
        raise ConfigurationError("The lock takes no argument.")
    app = LockApplication()

    @app.resource(PATH, methods=("GET", "PUT"), observable=True, title="lock")
    async def answer(request: Request) -> Content:
        if request.method == "PUT":
            await app.order(_position(request))
        return Content.cbor({"state": app.state})

    return app


def _position(request: Request) -> Position:
    match request.field("state"):
        case "locked":
            return "locked"
        case "unlocked":
            return "unlocked"
    raise Malformed("The state of a lock is locked or unlocked.")
