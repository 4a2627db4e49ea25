"""Work that goes on beside the requests, and survives its own failures."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.stdlib.get_logger(__name__)


async def repeat(name: str, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work`, then again every `interval_s` seconds, until cancelled. A failure is logged and tried again."""
    while True:
        try:
            await work()
        except Exception as error:
            log.error("background_work_failed", work=name, exc_info=error)
        await asyncio.sleep(interval_s)
