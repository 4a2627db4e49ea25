"""An application: its resources, and what it does by itself while the device is on."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from admittance.device.applications.content import Content
from admittance.device.applications.request import Method, Request
from admittance.errors import Misuse
from admittance.wire.senml import Value

Handler: TypeAlias = Callable[[Request], Awaitable[Content]]
Task: TypeAlias = Callable[["Host"], Awaitable[None]]

PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}")
RESERVED: Final = frozenset(
    {
        ".well-known",
        "admissions",
        "authz-info",
        "consent",
        "credentials",
        "epoch-list",
        "info",
        "provisioning",
        "server",
    }
)


class Host(Protocol):
    """The device, to its application."""

    @property
    def folder(self) -> Path:
        """A private folder for what the application has to remember. A factory reset empties it."""

    def changed(self, path: str) -> None:
        """Tell who observes the resource at `path` what it is now."""

    def record(self, name: str, value: Value, unit: str) -> None:
        """Keep a reading for the server, if the owner agreed that readings of that name go there."""


@dataclass(frozen=True, slots=True)
class Resource:
    """`title` is for people who look around (RFC 6690)."""

    path: str
    handler: Handler
    methods: frozenset[Method]
    observable: bool
    title: str


class Application:
    """See the package. An instance belongs to one device."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._resources: dict[str, Resource] = {}
        self._tasks: list[Task] = []
        self._host: Host | None = None

    @property
    def resources(self) -> Mapping[str, Resource]:
        """By path."""
        return MappingProxyType(self._resources)

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(self._tasks)

    def resource(
        self, path: str, *, methods: tuple[Method, ...] = ("GET",), observable: bool = False, title: str = ""
    ) -> Callable[[Handler], Handler]:
        """Answer requests to `path` by the decorated function.

        It gets requests of owners, and of guests whose scope has the path and the method. What a guest sends by
        another method than GET and FETCH counts as a use of its access, whatever comes of it. `Malformed`,
        `NotAllowed`, `NotFound`, `Conflict` and other errors of `admittance.errors` become the CoAP code that says
        the same. Who observes an observable resource is answered again after each `changed`, so GET must have no
        effect.

        Raises `Misuse` for a path that is taken, reserved or not made of plain segments.
        """
        if PATH.fullmatch(path) is None or path.split("/")[1] in RESERVED or path in self._resources:
            raise Misuse(f"{path} is no path for an application's resource, or taken.")

        def register(handler: Handler) -> Handler:
            self._resources[path] = Resource(path, handler, frozenset(methods), observable, title)
            return handler

        return register

    def task(self, work: Task) -> Task:
        """Run the decorated function from the device's power-up until its end."""
        self._tasks.append(work)
        return work

    def start(self, host: Host) -> None:
        """The device is on. Called before the tasks run, and again after a factory reset."""
        self._host = host

    def changed(self, path: str) -> None:
        """Tell who observes the resource at `path` what it is now."""
        if self._host is not None:
            self._host.changed(path)

    def record(self, name: str, value: Value, unit: str = "") -> None:
        """Keep a reading for the server, if the owner agreed that readings of that name go there.

        `name` is a SenML name such as ``temperature``, `unit` one of SenML's, such as ``Cel``.
        """
        if self._host is not None:
            self._host.record(name, value, unit)
