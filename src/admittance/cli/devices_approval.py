"""`admit devices code`, `pending`, `approve` and `deny`."""

from datetime import UTC, datetime

import click

from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api_factors import FactorsApi
from admittance.client.session_store import SessionStore


@click.command()
@profile_option
@json_option
def code(store: SessionStore, as_json: bool) -> None:
    """Make an enrolment code: type it into the new device, or give it to `admit provision`.

    \b
    Example:
      admit devices code
    """
    made = with_client(store, lambda client: FactorsApi(client).make_code())
    until = datetime.fromtimestamp(made.expires_at, UTC).strftime("%H:%M UTC")
    emit(made if as_json else f"{made.code}   (good once, until {until})", as_json)


@click.command()
@profile_option
@json_option
def pending(store: SessionStore, as_json: bool) -> None:
    """List the devices that wait for your approval.

    \b
    Example:
      admit devices pending
    """
    found = with_client(store, lambda client: FactorsApi(client).pending())
    if as_json:
        emit({"enrolments": found}, as_json)
        return
    for each in found:
        click.echo(f"{each.device_id}  {each.display_name}  from {each.source}")
    if not found:
        click.echo("No device waits for your approval.")


@click.command()
@click.argument("device")
@profile_option
@json_option
def approve(device: str, store: SessionStore, as_json: bool) -> None:
    """Let a waiting DEVICE (its id) enrol. Make sure that it is the one that you are setting up.

    \b
    Example:
      admit devices approve ADJBSWY3DPEHPK3PXPJBSW
    """
    device_id = device.strip().upper()
    with_client(store, lambda client: FactorsApi(client).approve(device_id))
    shown = {"device_id": device_id, "decision": "approved"}
    emit(shown if as_json else f"{device_id} is approved; it enrols within minutes.", as_json)


@click.command()
@click.argument("device")
@profile_option
@json_option
def deny(device: str, store: SessionStore, as_json: bool) -> None:
    """Do not let a waiting DEVICE (its id) enrol. Its ticket ends.

    \b
    Example:
      admit devices deny ADJBSWY3DPEHPK3PXPJBSW
    """
    device_id = device.strip().upper()
    with_client(store, lambda client: FactorsApi(client).deny(device_id))
    emit({"device_id": device_id, "decision": "denied"} if as_json else f"{device_id} is denied.", as_json)
