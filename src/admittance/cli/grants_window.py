"""The words for when a grant holds: from, until, this evening, weekdays and hours."""

import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVENING_BEGINS = time(17)
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)


def zone_of(name: str | None) -> str:
    """The named IANA zone, or this computer's. Raises `click.UsageError`."""
    found = name or _local_zone()
    if found is None:
        raise click.UsageError("This computer's time zone has no name: give --zone, such as Europe/Berlin.")
    try:
        ZoneInfo(found)
    except (ZoneInfoNotFoundError, ValueError):
        raise click.UsageError(f"There is no time zone {found!r}.") from None
    return found


def moment(text: str, zone: str) -> int:
    """Unix seconds of a time such as ``2027-03-01T18:00``, on the clocks of `zone` unless it says. Raises
    `click.UsageError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no time: write 2027-03-01T18:00.") from None
    return int((found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp())


def this_evening(zone: str, now: float) -> tuple[int, int]:
    """From 17:00, or from now if it is later, until midnight on the clocks of `zone`."""
    there = datetime.fromtimestamp(now, ZoneInfo(zone))
    begins = there.replace(hour=EVENING_BEGINS.hour, minute=0, second=0, microsecond=0, fold=0)
    midnight = datetime.combine(there.date() + timedelta(days=1), time(), ZoneInfo(zone))
    return int(max(begins.timestamp(), now)), int(midnight.timestamp())


def weekdays_of(text: str) -> list[int]:
    """ISO weekdays of ``mon-fri`` or ``mon,wed,sat-sun``. Raises `click.UsageError`."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise click.UsageError(f"Weekdays are {', '.join(DAYS)}, such as mon-fri or sat,sun.")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % len(DAYS) if dash else 0
        found |= {(begin + step) % len(DAYS) + 1 for step in range(length + 1)}
    return sorted(found)


def hours_of(weekdays: str | None, hours: str | None, zone: str) -> dict[str, Any] | None:
    """As the API has them; None without either. Raises `click.UsageError`."""
    if weekdays is None and hours is None:
        return None
    times = _HOURS.fullmatch(hours or "00:00-24:00")
    if times is None:
        raise click.UsageError("Hours are written as 08:00-17:00.")
    return {"weekdays": weekdays_of(weekdays or "mon-sun"), "from": times[1], "to": times[2], "zone": zone}


def _local_zone() -> str | None:
    """The name of this computer's zone, from where its clock is set."""
    try:
        target = Path("/etc/localtime").resolve(strict=True)
    except OSError:
        return None
    _, found, name = str(target).partition("zoneinfo/")
    return name if found else None
