"""`admit credentials`."""

import os
from datetime import UTC, datetime
from typing import Literal

import click

from admittance.cli.channel_options import known_device, local_option, with_channel
from admittance.cli.credentials_kit import kit, recover
from admittance.cli.credentials_scope import expiry, guest_options
from admittance.cli.output import emit, json_option
from admittance.cli.profile import app_name_option, default_app_name, profile_option
from admittance.client.channel.cards import AppCard, DeviceCard, from_text, to_text
from admittance.client.channel.credential_api import (
    SERIAL_BYTES,
    CredentialApi,
    ListedApp,
    admit_guest,
    entry_of,
)
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.session_store import SessionStore
from admittance.wire.channel import Permission, kid_of

_COLUMNS = ("id", "role", "name", "until", "")


@click.group()
def credentials() -> None:
    """Say which apps a device lets in: the device itself keeps the list, and the server is not asked.

    The app that provisioned a device is its owner's. To let another app in, it shows its card (`card`), this app
    adds it (`add`, or `admit` for a guest while the device is off), and the other app takes the answer (`accept`).

    \b
    Examples:
      admit credentials card
      admit credentials add lock-1 CARD
      admit credentials list lock-1
    """


for command in (kit, recover):
    credentials.add_command(command)


@credentials.command("list")
@click.argument("device")
@local_option
@profile_option
@json_option
def list_(device: str, local: bool, store: SessionStore, as_json: bool) -> None:
    """List the apps that DEVICE lets in.

    \b
    Examples:
      admit credentials list lock-1
      admit credentials list ADJBSWY3DPEHPK3PXPJBSW --json
    """
    found = with_channel(store, device, local, lambda channel, _: CredentialApi(channel).list())
    mine = _own_kid(store)
    if as_json:
        listed = [{**vars(app), "this_app": app.kid == mine} for app in found]
        emit({"credentials": listed}, as_json)
        return
    rows = [_row(app, mine) for app in found]
    widths = [max(len(row[column]) for row in [_COLUMNS, *rows]) for column in range(len(_COLUMNS))]
    for row in [_COLUMNS, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@credentials.command()
@app_name_option
@profile_option
@json_option
def card(app_name: str | None, store: SessionStore, as_json: bool) -> None:
    """Show this app's card, for an app that may let this one in.

    It is no secret. Hand it over so that nobody can swap it: in person, or over a chat that you trust.

    \b
    Examples:
      admit credentials card
      admit credentials card --app-name "Ben's tablet" --json
    """
    mine = store.app_keys().card(app_name or default_app_name())
    text = to_text(mine)
    emit({"card": text, "kid": _own_kid(store), "name": mine.name} if as_json else text, as_json)


@credentials.command()
@click.argument("device")
@click.argument("card")
@click.option("--role", type=click.Choice(["owner", "guest"]), default="owner", show_default=True)
@guest_options
@local_option
@profile_option
@json_option
def add(
    device: str,
    card: str,
    role: Literal["owner", "guest"],
    scope: tuple[Permission, ...],
    days: int,
    until: datetime | None,
    local: bool,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Let the app with this CARD in, now; the answer is a card of DEVICE for that app.

    An owner may do everything, also remove this app. A guest may do what --allow names, for a while.

    \b
    Examples:
      admit credentials add lock-1 CARD
      admit credentials add lock-1 CARD --role guest --allow /lock=get,put --days 2
    """
    app = from_text(card, AppCard)
    is_guest = role == "guest"
    _check_scope(is_guest, scope)
    expires_at = expiry(days, until) if is_guest else 0

    async def work(channel: DeviceChannel, known: KnownDevice) -> KnownDevice:
        entry = entry_of(app, role, known.epoch, expires_at=expires_at, scope=scope)
        await CredentialApi(channel).add(entry)
        return known

    known = with_channel(store, device, local, work)
    _introduce(known, app, b"", as_json)


@credentials.command("admit")
@click.argument("device")
@click.argument("card")
@guest_options
@profile_option
@json_option
def admit_(
    device: str,
    card: str,
    scope: tuple[Permission, ...],
    days: int,
    until: datetime | None,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Sign an admission for the guest's app with this CARD; DEVICE need not be reachable now.

    The guest's app hands the admission to the device itself. It lets that app in, no other, and only until its time
    is over or somebody removes it.

    \b
    Example:
      admit credentials admit lock-1 CARD --allow /lock=get,put --until 2027-01-31
    """
    app = from_text(card, AppCard)
    _check_scope(True, scope)
    known = known_device(store, device)
    admission = admit_guest(
        known, store.app_keys(), app, os.urandom(SERIAL_BYTES), expires_at=expiry(days, until), scope=scope
    )
    _introduce(known, app, admission, as_json)


@credentials.command()
@click.argument("card")
@profile_option
@json_option
def accept(card: str, store: SessionStore, as_json: bool) -> None:
    """Take the CARD of a device that lets this app in, as `add` or `admit` printed it on the other side.

    \b
    Example:
      admit credentials accept CARD
    """
    known = KnownDevice.of_card(from_text(card, DeviceCard))
    store.devices.keep(known)
    shown = {"device_id": known.device_id, "name": known.name, "origin": known.origin}
    emit(shown if as_json else f"This app knows {known.name} now: admit talk {known.device_id} get /info", as_json)


@credentials.command()
@click.argument("device")
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask.")
@local_option
@profile_option
@json_option
def remove(device: str, app: str, yes: bool, local: bool, store: SessionStore, as_json: bool) -> None:
    """Let an APP (its id or its name in the list) in no longer: a lost phone, a guest, a recovery kit.

    DEVICE ends the channels of that app at once.

    \b
    Example:
      admit credentials remove lock-1 "Anna's old phone"
    """

    async def work(channel: DeviceChannel, known: KnownDevice) -> ListedApp | None:
        api = CredentialApi(channel)
        found = await api.find(app)
        own = " That is this app itself." if found.kid == _own_kid(store) else ""
        if yes or click.confirm(f"Remove {found.role} {found.name} ({found.kid})?{own}", err=True):
            await api.remove(found.kid)
            return found
        return None

    removed = with_channel(store, device, local, work)
    if removed is None:
        raise click.Abort
    shown = {"kid": removed.kid, "name": removed.name, "role": removed.role}
    emit(shown if as_json else f"{removed.name} is removed.", as_json)


def _check_scope(is_guest: bool, scope: tuple[Permission, ...]) -> None:
    if is_guest and not scope:
        raise click.UsageError("Say what the guest may do: --allow, such as --allow /lock=get,put")
    if scope and not is_guest:
        raise click.UsageError("--allow belongs to --role guest: an owner may do everything.")


def _introduce(known: KnownDevice, app: AppCard, admission: bytes, as_json: bool) -> None:
    """Show what the other app needs to know of the device."""
    text = to_text(known.card(admission))
    if as_json:
        emit({"device_id": known.device_id, "kid": kid_of(app.channel).hex(), "card": text}, as_json)
        return
    click.echo(f"{known.name} lets {app.name} in. On {app.name}, run: admit credentials accept CARD", err=True)
    click.echo(text)


def _own_kid(store: SessionStore) -> str:
    return kid_of(store.app_keys().card("").channel).hex()


def _row(app: ListedApp, mine: str) -> tuple[str, ...]:
    until = "-" if not app.expires_at else datetime.fromtimestamp(app.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (app.kid, app.role, app.name, until, "this app" if app.kid == mine else "")
