"""What a guest may do, and how long: options of `admit credentials add` and `admit`."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from admittance.wire.channel import DELETE, FETCH, GET, POST, PUT, Permission

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DAYS = 7
DAY_S = 86_400

_METHODS = {"get": GET, "post": POST, "put": PUT, "delete": DELETE, "fetch": FETCH}


def guest_options(command: F) -> F:
    """Add ``--allow``, ``--days`` and ``--until``, as the arguments `scope` and `expires_at`."""
    command = click.option(
        "--until",
        "until",
        type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
        help="For a guest: the end, in UTC, instead of --days.",
    )(command)
    command = click.option(
        "--days",
        type=click.IntRange(1, 3660),
        default=DEFAULT_DAYS,
        show_default=True,
        help="For a guest: how long from now.",
    )(command)
    return click.option(
        "--allow",
        "scope",
        multiple=True,
        metavar="PATH=METHODS",
        callback=_scope,
        help="For a guest: what it may do, such as /lock=get,put; /sensors/* is all below /sensors.",
    )(command)


def expiry(days: int, until: datetime | None) -> int:
    """When a guest's time is over (Unix time)."""
    if until is None:
        return int(time.time()) + days * DAY_S
    expires_at = int(until.replace(tzinfo=UTC).timestamp())
    if expires_at <= time.time():
        raise click.BadParameter("This time is over already.", param_hint="--until")
    return expires_at


def _scope(_context: click.Context, _parameter: click.Parameter, texts: Sequence[str]) -> tuple[Permission, ...]:
    return tuple(_permission(text) for text in texts)


def _permission(text: str) -> Permission:
    path, separator, names = text.partition("=")
    methods = 0
    for name in names.lower().split(","):
        if name not in _METHODS:
            raise click.BadParameter(f"{text}: METHODS are some of {', '.join(_METHODS)}, with commas between.")
        methods |= _METHODS[name]
    if not separator or not path.startswith("/") or len(path) > 128:
        raise click.BadParameter(f"{text}: give a path and methods, such as /lock=get,put")
    return Permission(path, methods)
