"""`admit devices`."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import click

from admittance.cli.devices_approval import approve, code, deny, pending
from admittance.cli.devices_life import assign, decommission, device_id_of, found, history, keep, lost, stolen
from admittance.cli.output import config_option, emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api_lifecycle import LifecycleApi
from admittance.client.api_types import Device
from admittance.client.session_store import SessionStore
from admittance.errors import Malformed

if TYPE_CHECKING:
    from admittance.server.devices.manifest_import import ImportSummary

_COLUMNS = ("device", "model", "state", "certificate until", "last seen")


@click.group()
def devices() -> None:
    """Import devices, list and show them, and say what becomes of them."""


for command in (code, pending, approve, deny, lost, stolen, found, keep, assign, decommission, history):
    devices.add_command(command)


@devices.command("import")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@config_option
@json_option
def import_(manifest: Path, config_path: Path | None, as_json: bool) -> None:
    """Take the devices of a maker's MANIFEST into the registry. Run this on the server's host, as its user.

    Importing again is safe: what is there already stays as it is. Lines that cannot be taken are named, the others
    are taken, and the exit code is 9.

    \b
    Examples:
      admit devices import manifest.jsonl --config admittance.toml
      admit devices import manifest.jsonl --json
    """
    from admittance.server.config import load_config
    from admittance.server.enrolment.assembly import manifest_import
    from admittance.server.foundation import open_foundation

    foundation = open_foundation(load_config(config_path))

    async def work(lines: Iterable[bytes]) -> "ImportSummary":
        try:
            await foundation.database.migrate()
            return await manifest_import(foundation).run(lines)
        finally:
            await foundation.close()

    with manifest.open("rb") as file, _progress(file, manifest.stat().st_size) as lines:
        summary = asyncio.run(work(lines))
    _tell(summary, as_json)
    if summary.failed:
        first = summary.errors[0]
        raise Malformed(f"{manifest}: {summary.failed} lines were not taken, the first is line {first.line}.")


@devices.command("list")
@click.option("--all", "everyones", is_flag=True, help="The devices of all accounts (operators).")
@profile_option
@json_option
def list_(everyones: bool, store: SessionStore, as_json: bool) -> None:
    """List your devices.

    \b
    Examples:
      admit devices list
      admit devices list --all --json
    """
    found = with_client(store, lambda client: client.devices(everyones=everyones))
    if as_json:
        emit({"devices": found}, as_json)
        return
    rows = [_row(device) for device in found]
    if not rows:
        click.echo("You have no devices. Set one up: admit provision")
        return
    widths = [max(len(row[column]) for row in [_COLUMNS, *rows]) for column in range(len(_COLUMNS))]
    for row in [_COLUMNS, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@devices.command()
@click.argument("device")
@profile_option
@json_option
def show(device: str, store: SessionStore, as_json: bool) -> None:
    """Show a DEVICE (its id or setup code), its certificate, and why it got it.

    \b
    Example:
      admit devices show ADJBSWY3DPEHPK3PXPJBSW
    """
    path = "/api/devices/" + quote(device_id_of(device), safe="")
    found = with_client(store, lambda client: client.request("GET", path))
    emit(found if as_json else _explained(found), as_json)


@devices.command()
@click.argument("device")
@click.option("--reason", required=True, help="One line; the audit log and the owner's mail tell it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
def revoke(device: str, reason: str, yes: bool, store: SessionStore, as_json: bool) -> None:
    """End a DEVICE's access for good: certificate, tickets and pending activations. Nobody can claim it afterwards.

    \b
    Example:
      admit devices revoke ADJBSWY3DPEHPK3PXPJBSW --reason "lost on a train"
    """
    device_id = device_id_of(device)
    if not yes:
        click.confirm(f"Revoke {device_id}? This can't be undone.", abort=True, err=True)
    done = with_client(store, lambda client: client.revoke(device_id, reason))
    emit(done if as_json else f"{device_id} is revoked. Its certificate is refused from now on.", as_json)


@devices.command()
@click.argument("device")
@click.option("--operator", is_flag=True, help="Another's device, after notice to its owner (operators).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
def release(device: str, operator: bool, yes: bool, store: SessionStore, as_json: bool) -> None:
    """Give a DEVICE away: its access ends, and whoever stands before it next can claim it.

    \b
    Examples:
      admit devices release ADJBSWY3DPEHPK3PXPJBSW --yes
      admit devices release ADJBSWY3DPEHPK3PXPJBSW --operator
    """
    device_id = device_id_of(device)
    if operator:
        announced = with_client(store, lambda client: LifecycleApi(client).announce_release(device_id))
        shown = f"{device_id} is released on {_time(announced.release_at)}, unless its owner objects."
        emit(announced if as_json else shown, as_json)
        return
    if not yes:
        click.confirm(f"Release {device_id}? It is not yours afterwards.", abort=True, err=True)
    done = with_client(store, lambda client: client.release(device_id))
    emit(done if as_json else f"{device_id} is released. The next person at the device can claim it.", as_json)


@contextmanager
def _progress(file: BinaryIO, size: int) -> Iterator[Iterable[bytes]]:
    """The lines of `file`, with a progress bar while somebody looks on."""
    if not sys.stderr.isatty():
        yield file
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        yield _counted(file, bar.update)


def _counted(file: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    for line in file:
        yield line
        advance(len(line))


def _tell(summary: "ImportSummary", as_json: bool) -> None:
    errors = [{"line": error.line, "reason": error.reason} for error in summary.errors]
    if as_json:
        counts = {"lines": summary.lines, "added": summary.added, "known": summary.known, "failed": summary.failed}
        emit({**counts, "errors": errors}, as_json)
        return
    for error in summary.errors:
        click.echo(f"line {error.line}: {error.reason}", err=True)
    if summary.failed > len(summary.errors):
        click.echo(f"and {summary.failed - len(summary.errors)} more", err=True)
    click.echo(f"{summary.added} devices added, {summary.known} known already, {summary.failed} lines not taken.")


def _row(device: Device) -> tuple[str, ...]:
    until = None if device.certificate is None else device.certificate.not_after_at
    seen = "online" if device.online else _time(device.last_seen_at)
    return (device.device_id, device.display_name, device.state, _time(until), seen)


def _explained(found: dict[str, Any]) -> dict[str, str]:
    certificate, enrolment = found.get("certificate"), found.get("enrolment")
    shown = {
        "device": f"{found['device_id']} ({found['display_name']}, model {found['model']})",
        "state": str(found["state"]),
        "assurance": str(found["assurance"]),
        "owner number": str(found["epoch"]),
        "activated": _time(found["activated_at"]),
        "last seen": "online" if found.get("online") else _time(found["last_seen_at"]),
        "certificate": "none that is valid",
    }
    if found.get("reported"):
        shown["reported"] = str(found["reported"])
    if found.get("release_at"):
        shown["released by the operator"] = _time(found["release_at"]) + ", unless you object: admit devices keep"
    if certificate is not None:
        shown["certificate"] = f"{certificate['serial']} until {_time(certificate['not_after_at'])}"
    if enrolment is not None:
        shown["enrolled"] = f"{_time(enrolment['issued_at'])} from {enrolment['source']}"
        shown["decision"] = (
            f"{_WHY.get(enrolment['by'], enrolment['by'])}; identity {enrolment['assurance']}, "
            f"owner number {enrolment['epoch']}, account {enrolment['account']}"
        )
        shown["second factor"] = enrolment.get("factor") or "none was asked for"
        shown |= _attested(enrolment.get("tpm"))
    return shown


def _attested(tpm: dict[str, Any] | None) -> dict[str, str]:
    """What the device's TPM proved."""
    if tpm is None:
        return {}
    shown = {f"TPM proof {number}": check for number, check in enumerate(tpm["checks"], start=1)}
    for number, certificate in enumerate(tpm["ek_chain"]):
        name = "endorsement key" if number == 0 else f"endorsement chain {number}"
        shown[name] = f"certificate {certificate['serial']} by {certificate['issuer']}"
    shown["attestation key"] = tpm["ak_name"]
    shown["TPM firmware"] = f"{tpm['firmware_version']:#x}, reset {tpm['reset_count']} times since it was cleared"
    if tpm["pcr_digest"] is not None:
        shown["booted"] = f"{tpm['pcr_selections']} = {tpm['pcr_digest']}"
    return shown


_WHY = {
    "ticket": "issued for the ticket of an activation",
    "renewal": "renewed, signed by the identity key",
    "enrolled_again": "enrolled again after its certificate had expired, signed by the identity key",
}


def _time(at: int | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
