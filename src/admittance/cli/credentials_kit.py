"""`admit credentials kit` and `recover`."""

import asyncio
import os
import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import click
import segno

from admittance.cli.channel_options import local_option, with_channel
from admittance.cli.output import emit, json_option
from admittance.cli.profile import app_name_option, default_app_name, profile_option
from admittance.client import scan
from admittance.client.channel.cards import AppCard
from admittance.client.channel.connecting import connect_as
from admittance.client.channel.credential_api import CredentialApi, entry_of, kit_entry
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.channel.recovery_kit import SEED_BYTES, RecoveryKit
from admittance.client.session_store import SessionStore
from admittance.errors import AuthenticationFailed
from admittance.protocol.channel.edhoc import ChannelKey

# What `kit` prints around the kit's own lines is left out.
_KIT_LINE = re.compile(r"[0-9A-Za-z]+(-[0-9A-Za-z]+)*-?")
_PICTURES = (".png", ".jpg", ".jpeg")


@click.command()
@click.argument("device")
@local_option
@profile_option
@json_option
def kit(device: str, local: bool, store: SessionStore, as_json: bool) -> None:
    """Make a recovery kit for DEVICE: a key to print, for the day when no app is left. It is shown this once.

    Whoever has it can let an app of theirs in as owner's, if they also reach the device: through your account, or in
    its network. Keep it as you keep the keys of your home.

    \b
    Example:
      admit credentials kit lock-1 > kit.txt
    """

    async def work(channel: DeviceChannel, known: KnownDevice) -> RecoveryKit:
        made = RecoveryKit(known.device_id, known.epoch, os.urandom(SEED_BYTES), known.channel)
        name = f"recovery kit of {datetime.now(UTC):%Y-%m-%d}"
        await CredentialApi(channel).add(kit_entry(made, name))
        return made

    made = with_channel(store, device, local, work)
    if as_json:
        emit(
            {"device_id": made.device_id, "kid": ChannelKey(made.key()).credential.kid.hex(), "kit": made.text()},
            True,
        )
        return
    click.echo(f"Recovery kit of {made.device_id}\n\n{_lines(made.text())}\n\n{_qr(made.text())}")
    click.echo("Print it and delete it here. To use it: admit credentials recover", err=True)


@click.command()
@click.option(
    "--kit-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the kit's text, or a picture of its QR code. Asked for when left out.",
)
@app_name_option
@local_option
@profile_option
@json_option
def recover(kit_file: Path | None, app_name: str | None, local: bool, store: SessionStore, as_json: bool) -> None:
    """Let this app in as owner's by a recovery kit, when no other app can.

    Log in first (`admit account login`), or be in the device's network and give --local. Afterwards remove the lost
    app (`admit credentials remove`). The kit stays good: remove it too if somebody else may have seen it.

    \b
    Examples:
      admit credentials recover
      admit credentials recover --kit-file photo-of-the-kit.png --local
    """
    read = RecoveryKit.of_text(_kit_text(kit_file))
    app = store.app_keys().card(app_name or default_app_name())
    known = asyncio.run(_recover(store, read, app, local=local))
    shown = (
        f"This app is an owner's of {known.device_id} now. See who else is: admit credentials list {known.device_id}"
    )
    emit({"device_id": known.device_id} if as_json else shown, as_json)


async def _recover(store: SessionStore, kit: RecoveryKit, app: AppCard, *, local: bool) -> KnownDevice:
    try:
        origin = store.load().origin
    except AuthenticationFailed:
        if not local:
            raise
        origin = ""
    known = KnownDevice(
        device_id=kit.device_id, origin=origin, channel=kit.device_key, epoch=kit.epoch, name=kit.device_id
    )
    async with connect_as(store, known, ChannelKey(kit.key()), local=local) as channel:
        await CredentialApi(channel).add(entry_of(app, "owner", kit.epoch))
    store.devices.keep(known)
    return known


def _kit_text(kit_file: Path | None) -> str:
    if kit_file is None:
        return str(click.prompt("Recovery kit"))
    if kit_file.suffix.lower() in _PICTURES:
        return scan.read_picture(kit_file)
    lines = kit_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return "".join(line for line in lines if _KIT_LINE.fullmatch(line.strip()))


def _lines(text: str, groups: int = 6) -> str:
    parts = text.split("-")
    return "-\n".join("-".join(parts[start : start + groups]) for start in range(0, len(parts), groups))


def _qr(text: str) -> str:
    drawn = StringIO()
    segno.make_qr(text, error="m").terminal(drawn, border=2, compact=True)
    return drawn.getvalue()
