"""`admit devices lost`, `stolen`, `found`, `keep`, `assign`, `decommission` and `history`."""

from datetime import UTC, datetime

import click

from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api_lifecycle import LifecycleApi
from admittance.client.session_store import SessionStore
from admittance.wire.device_id import check_device_id
from admittance.wire.setup_code import parse_url


def device_id_of(text: str) -> str:
    """A device id, or the one in a setup code's URL. Raises `Malformed`."""
    return parse_url(text).device_id if "/" in text else check_device_id(text.strip().upper())


@click.command()
@click.argument("device")
@profile_option
@json_option
def lost(device: str, store: SessionStore, as_json: bool) -> None:
    """Say that a DEVICE is lost: it goes on working, and a mail tells you when and where it appears.

    \b
    Example:
      admit devices lost ADJBSWY3DPEHPK3PXPJBSW
    """
    done = with_client(store, lambda client: LifecycleApi(client).say(device_id_of(device), "lost"))
    emit(done if as_json else f"{done.device_id} is reported lost. You get a mail when it appears.", as_json)


@click.command()
@click.argument("device")
@profile_option
@json_option
def stolen(device: str, store: SessionStore, as_json: bool) -> None:
    """Say that a DEVICE is stolen: its access ends, nobody can claim it, and a mail tells you when it appears.

    \b
    Example:
      admit devices stolen ADJBSWY3DPEHPK3PXPJBSW
    """
    done = with_client(store, lambda client: LifecycleApi(client).say(device_id_of(device), "stolen"))
    shown = f"{done.device_id} is reported stolen. Its access has ended, and nobody can claim it."
    emit(done if as_json else shown, as_json)


@click.command()
@click.argument("device")
@profile_option
@json_option
def found(device: str, store: SessionStore, as_json: bool) -> None:
    """Say that you have a lost or stolen DEVICE again. One that was stolen works again once you provision it.

    \b
    Example:
      admit devices found ADJBSWY3DPEHPK3PXPJBSW
    """
    done = with_client(store, lambda client: LifecycleApi(client).say(device_id_of(device), "found"))
    emit(done if as_json else f"{done.device_id} is found again.", as_json)


@click.command()
@click.argument("device")
@profile_option
@json_option
def keep(device: str, store: SessionStore, as_json: bool) -> None:
    """Object to the release of your DEVICE that the operator announced.

    \b
    Example:
      admit devices keep ADJBSWY3DPEHPK3PXPJBSW
    """
    done = with_client(store, lambda client: LifecycleApi(client).say(device_id_of(device), "keep"))
    emit(done if as_json else f"{done.device_id} stays yours.", as_json)


@click.command()
@click.argument("device")
@click.argument("email", required=False)
@click.option("--anybody", is_flag=True, help="Take the assignment back.")
@profile_option
@json_option
def assign(device: str, email: str | None, anybody: bool, store: SessionStore, as_json: bool) -> None:
    """Let only the account of EMAIL claim a DEVICE (operators).

    \b
    Examples:
      admit devices assign ADJBSWY3DPEHPK3PXPJBSW ann@example.org
      admit devices assign ADJBSWY3DPEHPK3PXPJBSW --anybody
    """
    if anybody is (email is not None):
        raise click.UsageError("Give either an EMAIL or --anybody.")
    done = with_client(store, lambda client: LifecycleApi(client).assign(device_id_of(device), email))
    who = "Anybody who stands before it" if email is None else f"Only {email}"
    emit(done if as_json else f"{who} can claim {done.device_id} now.", as_json)


@click.command()
@click.argument("device")
@click.option("--reason", required=True, help="One line; the audit log and the owner's mail tell it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
def decommission(device: str, reason: str, yes: bool, store: SessionStore, as_json: bool) -> None:
    """End a DEVICE for good: nobody's any more, its secrets destroyed, its identity and its TPM never taken again.

    \b
    Example:
      admit devices decommission ADJBSWY3DPEHPK3PXPJBSW --reason "scrapped"
    """
    device_id = device_id_of(device)
    if not yes:
        click.confirm(f"Decommission {device_id}? It can never be used again.", abort=True, err=True)
    with_client(store, lambda client: LifecycleApi(client).decommission(device_id, reason))
    shown = f"{device_id} is decommissioned."
    emit({"device_id": device_id, "state": "decommissioned"} if as_json else shown, as_json)


@click.command()
@click.argument("device")
@profile_option
@json_option
def history(device: str, store: SessionStore, as_json: bool) -> None:
    """Show what became of a DEVICE, row by row of the server's audit chain.

    Of earlier owners you see that they were, and when they ended; operators see all.

    \b
    Example:
      admit devices history ADJBSWY3DPEHPK3PXPJBSW
    """
    events = with_client(store, lambda client: LifecycleApi(client).history(device_id_of(device)))
    if as_json:
        emit({"events": events}, as_json)
        return
    for each in events:
        at = datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        owner = "-" if each.epoch is None else str(each.epoch)
        click.echo(f"{each.number:>6}  {at}  {each.event:<28} by {each.by}, owner number {owner}")
