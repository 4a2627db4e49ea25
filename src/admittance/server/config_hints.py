"""TOML files of settings: where one stands, and what an unknown one may have meant."""

import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from admittance.errors import ConfigurationError

Failure = Callable[[tuple[str, ...], str], ConfigurationError]

S = TypeVar("S", bound=msgspec.Struct)

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")


def read_toml(path: Path) -> tuple[dict[str, Any], Failure]:
    """A file's tables, and what makes an error of a setting in it. Raises `ConfigurationError`."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
    try:
        raw = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None

    def fail(setting: tuple[str, ...], message: str) -> ConfigurationError:
        line = line_of(content, setting)
        where = f"{path}, line {line}" if line else str(path)
        return ConfigurationError(f"{where}: {'.'.join(setting)}: {message}")

    return raw, fail


def convert(raw: Any, into: type[S], at: tuple[str, ...], fail: Failure) -> S:
    """`raw` as `into`. Raises `fail` for the first value that does not fit."""
    try:
        return msgspec.convert(raw, into)
    except msgspec.ValidationError as error:
        message, setting = path_of(error)
        raise fail((*at, *setting), message) from None


def refuse_unknown(
    raw: dict[str, Any],
    into: type[msgspec.Struct],
    fail: Failure,
    at: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
) -> None:
    """Raise `fail` for the first key of `raw`, at any depth, that `into` does not have."""
    fields = {item.encode_name: item.type for item in msgspec.structs.fields(into) if item.name not in hidden}
    for key, value in raw.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(fields))}"
            raise fail((*at, key), f"unknown setting; {hint}")
        if not isinstance(value, dict):
            continue
        kind = fields[key]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            refuse_unknown(value, kind, fail, (*at, key))
        elif get_origin(kind) is dict:
            section = get_args(kind)[1]
            for name, item in value.items():
                if isinstance(item, dict) and hasattr(section, "__struct_fields__"):
                    refuse_unknown(item, section, fail, (*at, key, name))


def path_of(error: msgspec.ValidationError) -> tuple[str, tuple[str, ...]]:
    """Split msgspec's message ``... - at `$.listen.people` `` into message and setting."""
    message, _, place = str(error).rpartition(" - at `")
    if not message:
        message, place = str(error), ""
    return message, tuple(part for part in place.rstrip("`").removeprefix("$").split(".") if part)


def line_of(content: str, setting: tuple[str, ...]) -> int | None:
    """The line (from 1) on which a setting or its table begins; None when it is not in the text."""
    table: tuple[str, ...] = ()
    table_line = None
    for number, line in enumerate(content.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            if table == setting:
                return number
            if table == setting[: len(table)]:
                table_line = number
        elif (key := _KEY.match(line)) and (*table, *_parts(key[1])) == setting:
            return number
    return table_line


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
