"""`admit account networks`."""

from typing import TextIO

import click

from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.cli.secret_input import read_password
from admittance.client.session_store import SessionStore


@click.group()
def networks() -> None:
    """Premises networks that the server keeps for you, encrypted, to hand them to your devices."""


@networks.command("list")
@profile_option
@json_option
def list_networks(store: SessionStore, as_json: bool) -> None:
    """List them. The server never shows a passphrase again.

    \b
    Example:
      admit account networks list
    """
    found = with_client(store, lambda client: client.networks())
    if as_json:
        emit({"networks": found}, as_json)
    elif not found:
        emit("None. Store one: admit account networks set NAME --ssid SSID", as_json)
    for network in () if as_json else found:
        emit(f"{network.name}: {network.ssid}", as_json)


@networks.command("set")
@click.argument("name")
@click.option("--ssid", required=True, help="The name that the Wi-Fi shows.")
@click.option("--passphrase-file", type=click.File("r"), help="A file with the passphrase; else it is asked for.")
@click.option("--open", "is_open", is_flag=True, help="The network has no passphrase.")
@profile_option
@json_option
def set_network(
    name: str, ssid: str, passphrase_file: TextIO | None, is_open: bool, store: SessionStore, as_json: bool
) -> None:
    """Store a network as NAME, in place of an older one of that name.

    \b
    Examples:
      admit account networks set home --ssid "Anna's home"
      admit account networks set home --ssid "Anna's home" --passphrase-file wifi.txt
    """
    passphrase = "" if is_open else read_password(passphrase_file, "Passphrase")
    stored = with_client(store, lambda client: client.put_network(name, ssid=ssid, passphrase=passphrase))
    emit(stored if as_json else f"Stored {stored.name}: {stored.ssid}", as_json)


@networks.command("remove")
@click.argument("name")
@profile_option
@json_option
def remove_network(name: str, store: SessionStore, as_json: bool) -> None:
    """Forget the network NAME. Devices that joined it stay on it.

    \b
    Example:
      admit account networks remove home
    """
    with_client(store, lambda client: client.remove_network(name))
    emit({"removed": name} if as_json else f"Removed {name}.", as_json)
