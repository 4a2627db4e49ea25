"""`admit demo`: see the product work."""

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from admittance.cli.exits import UNEXPECTED
from admittance.cli.output import json_option
from admittance.demo.scenarios import play
from admittance.errors import ConfigurationError


@click.command()
@click.argument("scenario", type=click.Choice(["onboarding", "enrolment", "channel", "access"]), default="onboarding")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in this new folder and keep it, with the logs of all programs.",
)
@json_option
def demo(scenario: str, keep: Path | None, as_json: bool) -> None:
    """See the product work, step by step, with real programs on this machine.

    A server, a mail server, a maker, simulated premises, two devices and a phone run as processes of their own.
    Nothing is left behind. The exit code is 0 only if every step held.

    onboarding sets up devices that nobody typed into a database. enrolment is about devices with TPMs, which are
    software here: second factors, TPM sessions, a cloned disk, factory reset and transfer to another owner. It needs
    the Debian packages swtpm and libtss2-dev, and the extra tpm. channel is about talking to a device end to end:
    relay nodes that read nothing, one that is killed, a lost phone. It needs the Debian packages nats-server and
    postgresql. access is about guests: what they may open, when and how often, with which app.

    \b
    Examples:
      admit demo
      admit demo onboarding --json
      admit demo enrolment
      admit demo channel
      admit demo access
      admit demo onboarding --keep /tmp/demo
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="admittance-") as folder:
            held = asyncio.run(play(scenario, Path(folder), sys.stdout, sys.stderr, as_json))
    else:
        try:
            keep.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise ConfigurationError(f"{keep} cannot be made: {error.strerror}. Choose a new folder.") from None
        held = asyncio.run(play(scenario, keep.resolve(), sys.stdout, sys.stderr, as_json))
    if not held:
        sys.exit(UNEXPECTED)
