"""`admit maker`: make devices, their labels and their manifest."""

import datetime
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.progress import track

from admittance.cli.output import emit, json_option
from admittance.errors import ConfigurationError
from admittance.maker import endorsement, labels, making
from admittance.maker.authority import init_maker, open_maker
from admittance.wire.birth import EkKind, Presence, Seal

DIRECTORY = click.Path(file_okay=False, path_type=Path)
BUNDLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def maker() -> None:
    """Make devices: identities, labels, manifests.

    \b
    Examples:
      admit maker init factory --name ACME --bundle maker-bundle.json
      admit maker make factory --model lamp-2 --count 100 --presence button --seal symmetric --out batch-1
      admit maker label batch-1 --sheet labels.pdf
    """


@maker.command("init")
@click.argument("directory", type=DIRECTORY)
@click.option("--name", required=True, help="The maker's name, for its CA.")
@click.option("--bundle", required=True, type=BUNDLE, help="The bundle of the server that devices are made for.")
@json_option
def init(directory: Path, name: str, bundle: Path, as_json: bool) -> None:
    """Make a maker CA in DIRECTORY, and a test CA for the endorsement keys of software TPMs; the same again changes
    nothing.

    The server writes its bundle to maker-bundle.json in its data directory, and serves it at
    /.well-known/admittance.
    """
    made = init_maker(directory, name, bundle.read_bytes(), _now())
    endorsement.init_endorsement(directory, name, _now())
    emit(
        {
            "maker": made.name,
            "server": made.bundle.origin,
            "ca_file": str(directory / "maker-ca.pem"),
            "ek_ca_file": str(directory / endorsement.CERTIFICATE),
        },
        as_json,
    )


@maker.command("make")
@click.argument("directory", type=DIRECTORY)
@click.option("--model", required=True, help="The model of all devices in the batch.")
@click.option("--count", required=True, type=click.IntRange(min=1), help="How many devices the batch shall hold.")
@click.option("--presence", required=True, type=click.Choice(get_args(Presence)), help="How presence is proven.")
@click.option("--seal", default="hybrid", show_default=True, type=click.Choice(get_args(Seal)), help="Seal key.")
@click.option("--certified/--listed", default=True, show_default=True, help="Certify identities, or only list them.")
@click.option(
    "--key",
    "algorithm",
    default="p256",
    show_default=True,
    type=click.Choice(get_args(making.Algorithm)),
    help="Kind of the identity key.",
)
@click.option("--tpm", is_flag=True, help="Give each device a software TPM that holds its identity key.")
@click.option(
    "--ek",
    default="p256",
    show_default=True,
    type=click.Choice(get_args(EkKind)),
    help="Kind of the TPM's endorsement key.",
)
@click.option("--out", required=True, type=DIRECTORY, help="Directory of the batch.")
@json_option
def make(
    directory: Path,
    model: str,
    count: int,
    presence: Presence,
    seal: Seal,
    certified: bool,
    algorithm: making.Algorithm,
    tpm: bool,
    ek: EkKind,
    out: Path,
    as_json: bool,
) -> None:
    """Make devices with the maker in DIRECTORY until the batch holds COUNT of them.

    Each device gets a directory of its own with birth.json and identity.key (mode 0600: move them into the
    device and keep no copy), or with --tpm the state of a software TPM in place of the key; manifest.jsonl is
    for `admit devices import`. A run that was interrupted is finished by the same command.
    """
    plan = making.BatchPlan(
        model=model,
        presence=presence,
        seal=seal,
        certified=certified,
        algorithm=algorithm,
        ek=ek if tpm else None,
    )
    running = making.make_batch(open_maker(directory), plan, count, out, _now())
    made = [
        device.device_id
        for device in track(running, "Making devices", total=count, console=_console(), disable=_quiet(count))
    ]
    result = {"made": len(made), "batch": str(out), "manifest": str(out / making.MANIFEST)}
    emit({**result, "device_ids": made} if as_json or len(made) <= 10 else result, as_json)


@maker.command("label")
@click.argument("batch", type=DIRECTORY)
@click.option("--device", "device_id", help="Only this device of the batch.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Also write an A4 PDF to print.")
@json_option
def label(batch: Path, device_id: str | None, sheet: Path | None, as_json: bool) -> None:
    """Write label.png and label.ndef (for an NFC tag) beside each device in BATCH."""
    chosen = [device for device in making.batch_devices(batch) if device_id is None or device.device_id == device_id]
    if not chosen:
        raise ConfigurationError(f"{batch} holds no {f'device {device_id}' if device_id else 'devices'}.")
    written = [
        labels.write_label(device)
        for device in track(chosen, "Drawing labels", console=_console(), disable=_quiet(len(chosen)))
    ]
    result: dict[str, object] = {"labels": len(written), "batch": str(batch)}
    if sheet is not None:
        result |= {"sheet": str(sheet), "pages": labels.write_sheet(written, sheet)}
    emit(result, as_json)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _console() -> Console:
    return Console(stderr=True)


def _quiet(count: int) -> bool:
    return count < 20 or not _console().is_terminal
