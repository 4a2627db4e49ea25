"""`admit audit`."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, BinaryIO

import click

from admittance.cli.output import config_option, emit, json_option
from admittance.server.config import load_config
from admittance.server.foundation import Foundation, open_foundation


@click.group()
def audit() -> None:
    """Verify and export the audit log."""


@audit.command()
@config_option
@json_option
def verify(config_path: Path | None, as_json: bool) -> None:
    """Check the whole chain and the checkpoint journal beside it; name the first row that is wrong.

    \b
    Example:
      admit audit verify --config admittance.toml
    """
    foundation = open_foundation(load_config(config_path), create=False)

    async def work() -> None:
        found = await foundation.audit_service.verify()
        emit(
            {"ok": True, "rows": found.rows, "checkpoints": found.checkpoints}
            if as_json
            else f"{found.rows} rows and {found.checkpoints} checkpoints hold.",
            as_json,
        )

    _run(foundation, work())


@audit.command()
@config_option
@click.option("--out", type=click.File("wb"), default="-", help="A file; without one, standard output.")
def export(config_path: Path | None, out: BinaryIO) -> None:
    """Write the log as JSON Lines, oldest row first.

    \b
    Example:
      admit audit export --out audit.jsonl
    """
    foundation = open_foundation(load_config(config_path), create=False)

    async def work() -> None:
        async for line in foundation.audit_service.export():
            out.write(line + b"\n")

    _run(foundation, work())


def _run(foundation: Foundation, work: Coroutine[Any, Any, None]) -> None:
    async def closing() -> None:
        try:
            await work
        finally:
            await foundation.close()

    asyncio.run(closing())
