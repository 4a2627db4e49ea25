"""Bluetooth to test in: an air on a socket, and devices and apps that name it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from admittance.premises.air import Air


@asynccontextmanager
async def air(folder: Path) -> AsyncIterator[str]:
    """An air of its own; gives the name of a controller in it."""
    path = folder / "air.sock"
    opened = Air()
    await opened.start(path)
    try:
        yield f"unix:{path}"
    finally:
        await opened.close()
