"""Readings as CSV (RFC 4180)."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from admittance.server.readings.model import Reading

COLUMNS = ("device_id", "name", "value", "unit", "measured_at", "received_at", "skew_s", "assurance")

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


async def csv_table(pages: AsyncIterator[Sequence[Reading]]) -> AsyncIterator[bytes]:
    """The head, then each page as it comes. Times are UTC (RFC 3339)."""
    yield _encoded([COLUMNS])
    async for page in pages:
        yield _encoded([_row(reading) for reading in page])


def _row(reading: Reading) -> Sequence[str]:
    value = harmless(reading.value) if isinstance(reading.value, str) else f"{reading.value!r}"
    return (
        reading.device_id,
        harmless(reading.name),
        value,
        harmless(reading.unit),
        _time(reading.measured_at, "milliseconds"),
        _time(reading.received_at, "seconds"),
        str(reading.skew_s),
        reading.assurance,
    )


def harmless(text: str) -> str:
    """`text`, with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _time(unix_s: float, precision: str) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _encoded(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
