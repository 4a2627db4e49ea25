"""`admit doctor`."""

import asyncio
import sys
import time
from pathlib import Path

import click
import msgspec

from admittance.cli.output import config_option, emit, json_option
from admittance.errors import ConfigurationError
from admittance.server.config import load_config
from admittance.server.doctor import Finding, examine, worst

EXITS = {"pass": 0, "warn": 1, "fail": 2}


@click.command()
@config_option
@json_option
def doctor(config_path: Path | None, as_json: bool) -> None:
    """Examine configuration, keys, database, certificates, mail and SMS; change nothing.

    Exit codes: 0 everything passed, 1 warnings, 2 failures.

    \b
    Examples:
      admit doctor --config admittance.toml
      admit doctor --json
    """
    try:
        findings = asyncio.run(examine(load_config(config_path), time.time()))
    except ConfigurationError as error:
        findings = [Finding("configuration", "fail", str(error))]
    grade = worst(findings)
    if as_json:
        emit({"grade": grade, "findings": [msgspec.structs.asdict(finding) for finding in findings]}, as_json=True)
    else:
        for finding in findings:
            click.echo(f"{finding.grade:>4}  {finding.check}: {finding.detail}")
    sys.exit(EXITS[grade])
