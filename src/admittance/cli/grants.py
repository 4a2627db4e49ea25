"""`admit grants`: let guests do something on a device, see, change and end that."""

import time
from datetime import UTC, datetime
from typing import Any

import click

from admittance.cli.channel_options import any_device_id
from admittance.cli.grants_window import DAYS, hours_of, moment, this_evening, zone_of
from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api_grants import Grant, GrantsApi
from admittance.client.session_store import SessionStore

_YEAR_S = 365 * 86_400

# A grant's id is base64url, and may begin with a hyphen as options do; each of its letters would be a short option.
ANY_ID = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


@click.group()
def grants() -> None:
    """Let others do something on your devices: who, what, when, how often.

    A guest has an account already, or gets one by the invitation that you hand over. What you revoke ends at once,
    at the device as well if it is connected.
    """


@grants.command()
@click.argument("device")
@click.option("--to", "email", metavar="EMAIL", help="The guest's address.")
@click.option("--invite", is_flag=True, help="Make a link: whoever opens it gets the grant.")
@click.option("--action", "actions", multiple=True, required=True, help='Such as "PUT /lock". May be repeated.')
@click.option("--name", help="What you call it; the device's other users see it. Else the guest's address.")
@click.option("--from", "begins", metavar="TIME", help="Such as 2027-03-01T18:00; else now.")
@click.option("--until", "ends", metavar="TIME", help="Else a year.")
@click.option("--evening", is_flag=True, help="This evening: from 17:00, or now, until midnight.")
@click.option("--weekdays", metavar="DAYS", help="Such as mon-fri.")
@click.option("--hours", metavar="FROM-TO", help="Such as 08:00-17:00.")
@click.option("--zone", metavar="ZONE", help="Whose clocks count, such as Europe/Berlin; else this computer's.")
@click.option("--once", is_flag=True, help="Good for a single use.")
@click.option("--uses", type=click.IntRange(1), help="Good for so many uses.")
@click.option("--integrity", is_flag=True, help="Only with an app whose integrity is proven.")
@profile_option
@json_option
def give(
    device: str,
    email: str | None,
    invite: bool,
    actions: tuple[str, ...],
    name: str | None,
    begins: str | None,
    ends: str | None,
    evening: bool,
    weekdays: str | None,
    hours: str | None,
    zone: str | None,
    once: bool,
    uses: int | None,
    integrity: bool,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Let a guest do ACTIONs on a DEVICE (its id, its setup code or its name).

    \b
    Examples:
      admit grants give lock-1 --to bob@example.org --action "PUT /lock" --evening --once
      admit grants give lock-1 --invite --action "PUT /lock" --weekdays mon-fri --hours 08:00-17:00
    """
    if invite is (email is not None):
        raise click.UsageError("Give either --to EMAIL or --invite.")
    if once and uses is not None:
        raise click.UsageError("Give either --once or --uses.")
    if evening and (begins or ends or weekdays or hours):
        raise click.UsageError("--evening says from when until when already.")
    device_id = any_device_id(store, device)
    begins_at, ends_at, weekly = _window(begins, ends, evening, weekdays, hours, zone)
    given = with_client(
        store,
        lambda client: GrantsApi(client).give(
            device_id,
            actions,
            name=name or email or "Guest",
            email=email,
            begins_at=begins_at,
            ends_at=ends_at,
            hours=weekly,
            uses=1 if once else uses or 0,
            integrity=integrity,
        ),
    )
    if as_json:
        emit(given, as_json)
        return
    _show(given)
    if given.invitation is not None:
        click.echo(f"Hand this over; it is good once, until {_time(given.invitation.expires_at)}:")
        click.echo(given.invitation.link)


@grants.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@profile_option
@json_option
def list_(everything: bool, store: SessionStore, as_json: bool) -> None:
    """List what you let others do, and what you are let do.

    \b
    Example:
      admit grants list
    """
    found = with_client(store, lambda client: GrantsApi(client).all())
    if as_json:
        emit(found, as_json)
        return
    now = time.time()
    for title, part in (("You let others do:", found.given), ("You are let do:", found.received)):
        living = [each for each in part if everything or (each.ended_at is None and each.ends_at > now)]
        if living:
            click.echo(title)
        for each in living:
            click.echo("  " + _line(each))


@grants.command(context_settings=ANY_ID)
@click.argument("grant")
@profile_option
@json_option
def show(grant: str, store: SessionStore, as_json: bool) -> None:
    """Show a GRANT.

    \b
    Example:
      admit grants show 3q2-796tvu_erb7v3q2-7w
    """
    found = with_client(store, lambda client: GrantsApi(client).show(grant))
    if as_json:
        emit(found, as_json)
    else:
        _show(found)


@grants.command(context_settings=ANY_ID)
@click.argument("grant")
@click.option("--action", "actions", multiple=True, help="All that it allows from now on.")
@click.option("--name", help="What you call it.")
@click.option("--from", "begins", metavar="TIME", help="Such as 2027-03-01T18:00.")
@click.option("--until", "ends", metavar="TIME", help="When it ends.")
@click.option("--weekdays", metavar="DAYS", help="Such as mon-fri.")
@click.option("--hours", metavar="FROM-TO", help="Such as 08:00-17:00.")
@click.option("--any-hour", is_flag=True, help="At all hours.")
@click.option("--zone", metavar="ZONE", help="Whose clocks count; else this computer's.")
@click.option("--uses", type=click.IntRange(0), help="How often in all; 0 does not count.")
@click.option("--integrity/--no-integrity", default=None, help="Only with an app whose integrity is proven, or any.")
@profile_option
@json_option
def change(
    grant: str,
    actions: tuple[str, ...],
    name: str | None,
    begins: str | None,
    ends: str | None,
    weekdays: str | None,
    hours: str | None,
    any_hour: bool,
    zone: str | None,
    uses: int | None,
    integrity: bool | None,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Change a GRANT. What it no longer allows ends at once.

    \b
    Examples:
      admit grants change 3q2-796tvu_erb7v3q2-7w --until 2027-03-01
      admit grants change 3q2-796tvu_erb7v3q2-7w --weekdays sat,sun --hours 10:00-18:00
    """
    changes: dict[str, Any] = {
        key: value for key, value in (("name", name), ("uses", uses), ("integrity", integrity)) if value is not None
    }
    if any_hour and (weekdays or hours):
        raise click.UsageError("Give either --any-hour or --weekdays and --hours.")
    if begins or ends or weekdays or hours:
        place = zone_of(zone)
        changes |= {
            key: moment(text, place) for key, text in (("begins_at", begins), ("ends_at", ends)) if text is not None
        }
        if weekdays or hours:
            changes["hours"] = hours_of(weekdays, hours, place)
    if any_hour:
        changes["hours"] = None
    if actions:
        access = with_client(store, lambda client: GrantsApi(client).show(grant)).access
        changes["access"] = [{"device_id": each.device_id, "actions": list(actions)} for each in access]
    if not changes:
        raise click.UsageError("Say what is to change.")
    changed = with_client(store, lambda client: GrantsApi(client).change(grant, changes))
    if as_json:
        emit(changed, as_json)
    else:
        _show(changed)


@grants.command(context_settings=ANY_ID)
@click.argument("grant")
@profile_option
@json_option
def revoke(grant: str, store: SessionStore, as_json: bool) -> None:
    """End a GRANT: every key, every open connection and the invitation of it.

    \b
    Example:
      admit grants revoke 3q2-796tvu_erb7v3q2-7w
    """
    ended = with_client(store, lambda client: GrantsApi(client).revoke(grant))
    emit(ended if as_json else f"{ended.name} is let in no longer.", as_json)


@grants.command()
@click.argument("link")
@profile_option
@json_option
def accept(link: str, store: SessionStore, as_json: bool) -> None:
    """Take an invitation, by its LINK, with the account that you are logged in to.

    \b
    Example:
      admit grants accept 'https://admit.example/invite#…'
    """
    secret = link.rpartition("#")[2]
    taken = with_client(store, lambda client: GrantsApi(client).accept(secret))
    if as_json:
        emit(taken, as_json)
    else:
        _show(taken)


@grants.command(context_settings=ANY_ID)
@click.argument("grant")
@profile_option
@json_option
def history(grant: str, store: SessionStore, as_json: bool) -> None:
    """Show what became of a GRANT that you gave: changes, tokens, uses; row by row of the server's audit chain.

    \b
    Example:
      admit grants history 3q2-796tvu_erb7v3q2-7w
    """
    events = with_client(store, lambda client: GrantsApi(client).history(grant))
    if as_json:
        emit({"events": events}, as_json)
        return
    for each in events:
        click.echo(f"{each.number:>6}  {_time(each.at)}  {each.event:<24} by {each.by}")


def _window(
    begins: str | None,
    ends: str | None,
    evening: bool,
    weekdays: str | None,
    hours: str | None,
    zone: str | None,
) -> tuple[int, int, dict[str, Any] | None]:
    now = time.time()
    if not (begins or ends or evening or weekdays or hours):
        return int(now), int(now) + _YEAR_S, None
    place = zone_of(zone)
    if evening:
        return *this_evening(place, now), None
    begins_at = int(now) if begins is None else moment(begins, place)
    ends_at = begins_at + _YEAR_S if ends is None else moment(ends, place)
    return begins_at, ends_at, hours_of(weekdays, hours, place)


def _show(grant: Grant) -> None:
    click.echo(f"grant: {grant.grant}")
    click.echo(f"name: {grant.name}")
    if grant.owner is not None:
        click.echo(f"given by: {grant.owner}")
    else:
        click.echo(f"given to: {grant.email or 'whoever accepts the invitation'}")
    for each in grant.access:
        click.echo(f"device {each.device_id}: {', '.join(each.actions)}")
    click.echo(f"when: {_when(grant)}")
    used = sum(each.used for each in grant.access)
    click.echo(f"uses: {used} of {grant.uses}" if grant.uses else "uses: not counted")
    click.echo(f"app's integrity: {'needed' if grant.integrity else 'not asked for'}")
    click.echo(f"now: {_now(grant)}")


def _line(grant: Grant) -> str:
    who = grant.owner or grant.email or "(invitation)"
    devices = " ".join(each.device_id for each in grant.access)
    return f"{grant.grant}  {who}  {devices}  {_when(grant)}  {_now(grant)}"


def _when(grant: Grant) -> str:
    span = f"{_time(grant.begins_at)} to {_time(grant.ends_at)}"
    hours = grant.hours
    if hours is None:
        return span
    days = ",".join(DAYS[day - 1] for day in hours.weekdays)
    return f"{span}, {days} {hours.from_}-{hours.to} {hours.zone}"


def _now(grant: Grant) -> str:
    if grant.ended_at is not None:
        return f"ended {_time(grant.ended_at)}"
    return "closed" if grant.open_until is None else f"open until {_time(grant.open_until)}"


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
