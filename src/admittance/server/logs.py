"""Structured logs that can't hold secrets: redacted by the name of the field and by the type of the value.

Bodies and authorization headers are never handed to a logger in the first place.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

import msgspec
import structlog

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|phrase|wd)?|secret|token|ticket|key|keys|pop|code|codes|authorization|cookie|dpop|"
    r"proof|credential|credentials|body|plaintext|seed|private|jwt|challenge)(?:_|$)"
)
_HARMLESS_NAMES = frozenset({"error_code", "exit_code", "status_code", "key_id", "registry_key"})
_SIMPLE = frozenset({str, int, float, bool, datetime, type(None)})
_TOKEN_IN_TEXT = re.compile(
    r"(?i)\b(dpop|bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|://[^/\s:@]+:[^/\s@]+@"
)


class Secret:
    """Carries a secret through code that may be logged: shows as ``[redacted]`` everywhere. `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, _specification: str) -> str:
        return REDACTED


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor; what later ones add has no secret in it."""
    # One search instead of one for each text: a token in a text is one in their sum, which is all but never there.
    texts = "\n".join([value for value in event.values() if type(value) is str])
    if _any_names_secret(tuple(event)) or not _SIMPLE.issuperset(map(type, event.values())) or holds_token(texts):
        for name, value in event.items():
            event[name] = _clean(name, value)
    return event


def holds_token(text: str) -> bool:
    """Whether something in a text looks like a token, a private key, or a password in a URL."""
    return _TOKEN_IN_TEXT.search(text) is not None


def configure_logs(form: Literal["json", "console"], level: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers through `redact` to `stream` (stderr)."""
    output.stream, output.is_json = stream or sys.stderr, form == "json"
    minimum = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_timestamp if form == "json" else structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    console = structlog.dev.ConsoleRenderer(colors=False)
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(_json) if form == "json" else console
    clean: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, redact]
    handler = logging.StreamHandler(output.stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *clean, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(minimum)
    for noisy in ("sqlalchemy", "alembic", "aiosqlite", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, minimum))
    structlog.configure(
        processors=[*clean, *shared, renderer],
        logger_factory=lambda name="": _Lines(name),
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        cache_logger_on_first_use=False,
    )


def _add_timestamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """msgspec writes a time as RFC 3339 in less than `datetime` takes itself."""
    event["timestamp"] = datetime.now(UTC)
    return event


class Output:
    """Where structlog's lines go, and whether they are JSON."""

    def __init__(self) -> None:
        self.stream: TextIO = sys.stderr
        self.is_json = False

    def write(self, lines: str) -> None:
        """Write one line or several by one system call."""
        self.stream.write(f"{lines}\n")
        self.stream.flush()


output = Output()


class _Lines:
    """Takes what structlog rendered. The standard library's loggers would take longer than all the rest."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: str) -> None:
        output.write(line)

    debug = info = warning = error = critical = msg


@lru_cache(maxsize=1024)
def _any_names_secret(names: tuple[str, ...]) -> bool:
    return any(map(_names_secret, names))


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    lowered = name.lower().replace("-", "_")
    return lowered not in _HARMLESS_NAMES and _SECRET_NAME.search(lowered) is not None


def _json(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _clean(name: str, value: Any) -> Any:
    if isinstance(value, (Secret, bytes, bytearray, memoryview)):
        return REDACTED
    if _names_secret(name):
        return REDACTED
    if isinstance(value, str):
        return _TOKEN_IN_TEXT.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(name, item) for item in value]
    if value is None or isinstance(value, (bool, int, float, datetime)):
        return value
    return _TOKEN_IN_TEXT.sub(REDACTED, str(value))
