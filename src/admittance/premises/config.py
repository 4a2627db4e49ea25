"""`premises.toml`: the networks of the simulated premises, and what lies behind their uplink."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from admittance.errors import ConfigurationError

Ssid = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Dbm = Annotated[int, msgspec.Meta(ge=-120, le=-10)]
Channel = Annotated[int, msgspec.Meta(ge=1, le=196)]


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network. An empty passphrase makes it open. Weaker than `world.OUT_OF_RANGE_DBM` it is out of range.

    `address` tells whether a station gets an address, `uplink` whether the network leads to the hosts of the
    uplink. A ``cellular`` network has no passphrase, is in no scan, and only phones can use it.
    """

    ssid: Ssid
    passphrase: str = ""
    signal_dbm: Dbm = -50
    channel: Channel = 6
    address: bool = True
    uplink: bool = True
    kind: Literal["wifi", "cellular"] = "wifi"


class Uplink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The endpoints, as ``host:port``, that an uplink leads to."""

    hosts: tuple[str, ...] = ()


class Premises(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `premises.toml`."""

    networks: tuple[Network, ...]
    uplink: Uplink = Uplink()


def load(path: Path) -> Premises:
    """Read a premises file. Raises `ConfigurationError` that names the file and what is wrong in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__})") from error
    try:
        return parse(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse(text: str) -> Premises:
    """Read the text of a premises file. Raises `ConfigurationError`."""
    try:
        premises = msgspec.convert(tomllib.loads(text), Premises, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{error}; see docs/reference/premises.md for the settings") from error
    for network in premises.networks:
        _check(network)
    names = [network.ssid for network in premises.networks]
    if len(set(names)) != len(names):
        raise ConfigurationError("two networks have the same ssid; give each its own")
    for host in premises.uplink.hosts:
        endpoint(host)
    return premises


def _check(network: Network) -> None:
    if len(network.ssid.encode()) > 32:
        raise ConfigurationError(f"network {network.ssid}: an ssid has at most 32 bytes")
    if network.kind == "cellular":
        if network.passphrase:
            raise ConfigurationError(f"network {network.ssid}: a cellular network has no passphrase")
    elif network.passphrase:
        check_passphrase(network.passphrase)


def check_passphrase(passphrase: str) -> None:
    """Refuse what WPA2 does not allow (IEEE 802.11, annex J.4). Raises `ConfigurationError`."""
    if not 8 <= len(passphrase) <= 63 or not all(" " <= letter <= "~" for letter in passphrase):
        raise ConfigurationError("a passphrase has 8 to 63 printable ASCII characters")


def endpoint(text: str) -> tuple[str, int]:
    """Take ``host:port`` apart; an IPv6 address stands in brackets. Raises `ConfigurationError`."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").lower()
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ConfigurationError(f"uplink host {text!r}: write it as host:port")
    return host, int(port)
