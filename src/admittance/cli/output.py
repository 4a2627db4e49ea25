"""What commands print: for people, or one JSON value a line for programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from admittance.errors import AdmittanceError

F = TypeVar("F", bound=Callable[..., Any])

_JSON_WANTED = "admittance.json"


def json_option(command: F) -> F:
    """Add ``--json`` to a command, as the argument `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs.", callback=_remember, is_eager=True
    )(command)


def config_option(command: F) -> F:
    """Add ``--config`` to a command of the server, as the argument `config_path`."""
    return click.option(
        "--config",
        "config_path",
        envvar="ADMITTANCE_CONFIG",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The server's TOML file; without one, the defaults. Also from ADMITTANCE_CONFIG.",
    )(command)


def emit(value: Any, as_json: bool) -> None:
    """Print `value`: with `as_json` as one line of JSON, else a mapping as lines ``name: value``, text as it is."""
    if as_json:
        click.echo(msgspec.json.encode(value).decode())
        return
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        for name, item in value.items():
            click.echo(f"{name}: {_plain(item)}")
    else:
        click.echo(_plain(value))


def show_error(error: AdmittanceError) -> None:
    """Print the message to stderr, or with ``--json`` an object {error, detail} to stdout."""
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().meta.get(_JSON_WANTED):
        click.echo(msgspec.json.encode({"error": error.code, "detail": str(error)}).decode())
    else:
        click.echo(f"Error: {error}", err=True)


def _remember(context: click.Context, _parameter: click.Parameter, wanted: bool) -> bool:
    if wanted:
        context.find_root().meta[_JSON_WANTED] = True
    return wanted


def _plain(item: Any) -> str:
    if item is None:
        return "-"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, (str, int, float)):
        return str(item)
    return msgspec.json.encode(item).decode()
