"""The phone's commands share a profile: who is logged in, and where."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from admittance.client.api import ApiClient
from admittance.client.session_store import SessionStore, default_directory
from admittance.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def profile_option(command: F) -> F:
    """Add ``--profile`` to a command, as the argument `store`."""
    return click.option(
        "--profile",
        "store",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="ADMITTANCE_PROFILE",
        callback=_store,
        help="The folder that keeps the login; else ~/.config/admittance. Also from ADMITTANCE_PROFILE.",
    )(command)


def app_name_option(command: F) -> F:
    """Add ``--app-name`` to a command, as the argument `app_name`."""
    return click.option(
        "--app-name", metavar="NAME", help="What the device's other apps see this one as; else this computer's name."
    )(command)


def default_app_name() -> str:
    """The name of this computer."""
    return socket.gethostname() or "app"


def with_client(store: SessionStore, work: Callable[[ApiClient], Awaitable[T]]) -> T:
    """Run `work` with the client of the stored login.

    Raises `AuthenticationFailed` when nobody is logged in, and what the client raises.
    """

    async def run() -> T:
        async with ApiClient.of_store(store) as client:
            return await work(client)

    return asyncio.run(run())


def read_ca_file(path: Path | None) -> str | None:
    """The certificates of ``--ca-file``, or None without one. Raises `ConfigurationError`."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path} holds no certificate in PEM.") from None


def _store(_context: click.Context, _parameter: click.Parameter, directory: Path | None) -> SessionStore:
    return SessionStore(directory or default_directory())
