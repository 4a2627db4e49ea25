"""`admit readings`: what devices may send to the server, and what they sent."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

import click

from admittance.cli.channel_options import any_device_id
from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api import ApiClient
from admittance.client.api_readings import ReadingsApi
from admittance.client.api_types import Reading, ReadingsConsent
from admittance.client.channel.connecting import connect
from admittance.client.channel.content import Content
from admittance.client.session_store import SessionStore
from admittance.errors import AdmittanceError
from admittance.wire import message
from admittance.wire.coap import formats
from admittance.wire.readings import CONSENT_PATH, Consent

TELL_WITHIN_S = 30.0


@click.group()
def readings() -> None:
    """Say which readings your devices may send to the server, and get what they sent.

    A device sends nothing unless its owner agreed, name by name. The operator can export what owners agreed to.
    """


@readings.command()
@click.argument("device")
@click.option("--allow", "allowed", metavar="NAME", multiple=True, help="Agree to readings of this name.")
@click.option("--withdraw", "withdrawn", metavar="NAME", multiple=True, help="Agree to them no more.")
@click.option("--withdraw-all", is_flag=True, help="Agree to nothing any more.")
@click.option("--erase/--keep", "erase", default=None, help="Delete what was sent of withdrawn readings, or keep it.")
@click.option("--tell", is_flag=True, help="Tell the device once more what it may send.")
@profile_option
@json_option
def consent(
    device: str,
    allowed: tuple[str, ...],
    withdrawn: tuple[str, ...],
    withdraw_all: bool,
    erase: bool | None,
    tell: bool,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Show or change which readings a DEVICE (its id, its setup code or its name) may send.

    The server takes nothing else from the moment of a change on. The device itself is told over its own channel, if
    it is connected.

    \b
    Examples:
      admit readings consent climate-1 --allow temperature --allow humidity
      admit readings consent climate-1 --withdraw-all --erase
      admit readings consent climate-1
    """
    device_id = any_device_id(store, device)
    current = with_client(store, lambda client: ReadingsApi(client).consent(device_id))
    is_change = bool(allowed or withdrawn or withdraw_all or erase)
    if is_change:
        names = _names(() if withdraw_all else current.readings, allowed, withdrawn)
        current = _changed(store, device_id, names, erase=bool(erase))
        if current.stored_withdrawn and erase is None and not as_json:
            current = _offered(store, current)
    told = _tell(store, current) if is_change or tell else None
    _show(current, told, as_json)


@readings.command("list")
@click.argument("device")
@click.option("--count", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many at most.")
@profile_option
@json_option
def list_readings(device: str, count: int, store: SessionStore, as_json: bool) -> None:
    """Show the newest readings that a DEVICE sent.

    \b
    Example:
      admit readings list climate-1 --count 100
    """
    device_id = any_device_id(store, device)
    found = with_client(store, lambda client: ReadingsApi(client).newest(device_id, count))
    if as_json:
        emit({"device_id": device_id, "readings": found}, as_json)
        return
    for each in found:
        click.echo(_line(each))
    if not found:
        click.echo(f"{device_id} has sent no readings that the server kept.")


@readings.command()
@click.argument("device", required=False)
@click.option("--output", type=click.File("wb", lazy=True), default="-", help="The file; else standard output.")
@profile_option
def export(device: str | None, output: BinaryIO, store: SessionStore) -> None:
    """Write the readings of a DEVICE as CSV; as operator without DEVICE, all that owners agree to.

    An operator's export is recorded in the audit log.

    \b
    Examples:
      admit readings export climate-1 --output climate.csv
      admit readings export > everything.csv
    """
    device_id = None if device is None else any_device_id(store, device)

    async def write(client: ApiClient) -> None:
        async for piece in ReadingsApi(client).table(device_id):
            output.write(piece)

    with_client(store, write)


@dataclass(frozen=True)
class _Told:
    """Whether the device itself knows what it may send; `error` is why not."""

    error: AdmittanceError | None


def _names(current: Iterable[str], allowed: Iterable[str], withdrawn: Iterable[str]) -> list[str]:
    return sorted({*current, *allowed} - set(withdrawn))


def _changed(store: SessionStore, device_id: str, names: Sequence[str], *, erase: bool) -> ReadingsConsent:
    return with_client(store, lambda client: ReadingsApi(client).set_consent(device_id, names, erase=erase))


def _offered(store: SessionStore, current: ReadingsConsent) -> ReadingsConsent:
    """Ask whether to delete what was sent before the withdrawal."""
    question = f"The server has {current.stored_withdrawn} readings to which you do not agree any more. Delete them?"
    if not click.confirm(question, err=True):
        return current
    return _changed(store, current.device_id, current.readings, erase=True)


def _tell(store: SessionStore, current: ReadingsConsent) -> _Told:
    """Tell the device over its own channel, where the server sees nothing."""
    content = Content(message.encode(Consent(current.readings)), formats.CBOR)

    async def put() -> None:
        async with connect(store, current.device_id) as channel:
            await channel.put(CONSENT_PATH, content, timeout_s=TELL_WITHIN_S)

    try:
        asyncio.run(put())
    except AdmittanceError as error:
        return _Told(error)
    return _Told(None)


def _show(current: ReadingsConsent, told: _Told | None, as_json: bool) -> None:
    if as_json:
        shown = {name: getattr(current, name) for name in current.__struct_fields__}
        if told is not None:
            shown["device_told"] = told.error is None
            shown["device_error"] = None if told.error is None else told.error.code
        emit(shown, as_json)
        return
    names = ", ".join(current.readings)
    click.echo(f"{current.device_id} may send: {names}." if names else f"{current.device_id} may send nothing.")
    if current.stored:
        click.echo(f"The server keeps {current.stored} readings of it.")
    if told is not None and told.error is None:
        click.echo("The device knows.")
    elif told is not None:
        click.echo(
            f"The device itself could not be told: {told.error} The server takes only what you agree to, whatever "
            f"the device sends. Tell it later: admit readings consent {current.device_id} --tell",
            err=True,
        )


def _line(each: Reading) -> str:
    at = datetime.fromtimestamp(each.measured_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    clock = f"  (clock {each.skew_s:+d} s)" if abs(each.skew_s) > 1 else ""
    value = each.value if isinstance(each.value, str) else f"{each.value:g}"
    return f"{at}  {each.name:<24} {value} {each.unit}".rstrip() + clock
