"""What many grants cost the issuing of one device token.

Two servers, on SQLite as it is configured by default, hold 1,000 and 1,000,000 grants of others on other devices. At
each the same guest asks for a token at a device that is connected: a grant is chosen, a key stored, and the device
told on its own channel. Requests at the two take turns, so that the machine's moods hit both alike. No HTTP is in it.

- `p50_at_1m_grants_over_1k`: the median of the one over that of the other.
- `p50_ms_at_1k`, `p50_ms_at_1m`: the medians.
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from sqlalchemy import insert

from admittance.server.accounts.store import accounts
from admittance.server.database import Database
from admittance.server.devices.store import devices
from admittance.server.grants.store import encode_permissions
from admittance.server.grants.tables import granted_devices, grants
from admittance.wire.channel import PUT, Permission
from tests.unit.server.grants.grant_world import HOUR_S, Household, household

FEW, MANY = 1_000, 1_000_000
PER_DEVICE = 10
PER_ACCOUNT = 20
REQUESTS = 300
WARM_UP = 30
ROWS_AT_ONCE = 5_000


def run() -> dict[str, float]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return asyncio.run(_measured())


async def _measured() -> dict[str, float]:
    async with AsyncExitStack() as stack:
        homes = {count: await _home(stack, count) for count in (FEW, MANY)}
        took: dict[int, list[float]] = {count: [] for count in homes}
        for index in range(WARM_UP + REQUESTS):
            for count, home in homes.items():
                began = time.perf_counter()
                await home.token("PUT /lock")
                if index >= WARM_UP:
                    took[count].append(time.perf_counter() - began)
    few, many = median(took[FEW]), median(took[MANY])
    return {"p50_at_1m_grants_over_1k": many / few, "p50_ms_at_1k": few * 1000, "p50_ms_at_1m": many * 1000}


async def _home(stack: AsyncExitStack, count: int) -> Household:
    """A household beside `count` grants of others; its guest has one grant."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="admittance-bench-")))
    database = Database(f"sqlite+aiosqlite:///{folder / 'admittance.db'}")
    stack.push_async_callback(database.close)
    await database.migrate()
    home = await household(database, folder)
    stack.push_async_callback(home.close)
    await _fill(database, count, home.now)
    await home.give("PUT /lock")
    return home


async def _fill(database: Database, count: int, now: int) -> None:
    people, things = max(2, count // PER_ACCOUNT), count // PER_DEVICE
    for table, rows in (
        (accounts, (_account(number, now) for number in range(people))),
        (devices, (_device(number, people) for number in range(things))),
        (grants, (_grant(number, people, now) for number in range(count))),
        (granted_devices, (_granted(number, people, things) for number in range(count))),
    ):
        await _insert(database, table, rows)


async def _insert(database: Database, table: Any, rows: Iterator[dict[str, object]]) -> None:
    while part := list(islice(rows, ROWS_AT_ONCE)):
        async with database.transaction() as connection:
            await connection.execute(insert(table), part)


def _account(number: int, now: int) -> dict[str, object]:
    return {
        "account_id": f"account-{number}",
        "email": f"account-{number}@example.org",
        "display_name": "x",
        "operator": False,
        "quota": None,
        "password_hash": "",
        "created_at": now,
    }


def _device(number: int, people: int) -> dict[str, object]:
    return {
        "registry_key": _digest("device", number),
        "device_id": f"device-{number}",
        "identity_spki": b"",
        "model": "lamp",
        "presence": "display",
        "assurance": "listed",
        "state": "active",
        "account_id": f"account-{number % people}",
        "epoch": 1,
        "last_sequence": 1,
        "resets": 0,
        "needs_ticket": False,
    }


def _grant(number: int, people: int, now: int) -> dict[str, object]:
    return {
        "grant_id": _digest("grant", number)[:16],
        "owner_id": f"account-{number % people}",
        "guest_id": f"account-{(number * 7 + 1) % people}",
        "email": f"account-{(number * 7 + 1) % people}@example.org",
        "name": "x",
        "begins_at": now - HOUR_S,
        "ends_at": now + 1000 * HOUR_S,
        "uses": 0,
        "integrity": False,
        "created_at": now,
    }


def _granted(number: int, people: int, things: int) -> dict[str, object]:
    return {
        "grant_id": _digest("grant", number)[:16],
        "device_id": f"device-{number % things}",
        "guest_id": f"account-{(number * 7 + 1) % people}",
        "permissions": encode_permissions((Permission("/lock", PUT),)),
        "used": 0,
        "uncounted": 0,
    }


def _digest(kind: str, number: int) -> bytes:
    return hashlib.sha256(f"{kind} {number}".encode()).digest()
