"""The state of the simulated premises: who is on which network, and where a stream may go.

The world does no I/O. Methods that take a network away from a station return the numbers of the streams that
end with it; the caller cuts them before it does anything else.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import TypeAlias

from admittance.errors import Conflict, JoinFailed, Misuse, NotFound, Unreachable
from admittance.premises.config import Network, Premises, check_passphrase, endpoint
from admittance.premises.sighting import Sighting

ACCESS_POINT_HOST = "192.168.4.1"
ACCESS_POINT_PORT = 80
ACCESS_POINT_CHANNEL = 1
ACCESS_POINT_DBM = -40
OUT_OF_RANGE_DBM = -90


@dataclass(frozen=True, slots=True)
class StationView:
    """What an observer sees of a station."""

    name: str
    cellular: bool
    joined: str | None
    access_point: str | None
    streams: int


@dataclass(frozen=True, slots=True)
class ToUplink:
    """The stream goes to a host behind the uplink."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ToStation:
    """The stream goes to the station whose access point the opener is on."""

    station: str


Route: TypeAlias = ToUplink | ToStation


@dataclass(slots=True)
class _AccessPoint:
    ssid: str
    passphrase: str


@dataclass(slots=True)
class _Station:
    name: str
    cellular: bool
    network: str | None = None
    host: str | None = None
    access_point: _AccessPoint | None = None

    @property
    def joined(self) -> bool:
        return self.network is not None


class World:
    """All networks, stations and streams of one premises."""

    def __init__(self, premises: Premises) -> None:
        self._networks = {network.ssid: network for network in premises.networks}
        self._passphrases = {network.ssid: network.passphrase for network in premises.networks}
        self._down: set[str] = set()
        self._reachable = frozenset(endpoint(host) for host in premises.uplink.hosts)
        self._stations: dict[str, _Station] = {}
        self._streams: dict[int, tuple[str, Route]] = {}
        self._last_stream = 0

    def attach(self, name: str, cellular: bool) -> None:
        """Bring a station in; `cellular` gives it a second radio for cellular networks. Raises `Conflict`."""
        if name in self._stations:
            raise Conflict(f"a station named {name} is attached already")
        self._stations[name] = _Station(name, cellular)

    def detach(self, name: str) -> frozenset[int]:
        """Take a station out, with its access point."""
        dropped = self.leave(name) | self.close_access_point(name)
        del self._stations[name]
        return dropped

    def joined(self, name: str) -> str | None:
        """The SSID that a station is on."""
        return self._station(name).network

    def scan(self, name: str) -> tuple[Sighting, ...]:
        """The networks in range of a station, strongest first, without its own access point."""
        found = [
            Sighting(
                network.ssid,
                _bssid(f"network {network.ssid}"),
                network.channel,
                network.signal_dbm,
                "wpa2" if self._passphrases[network.ssid] else "open",
            )
            for network in self._networks.values()
            if network.kind == "wifi" and self._in_range(network)
        ]
        found += [
            Sighting(
                station.access_point.ssid,
                _bssid(f"station {station.name}"),
                ACCESS_POINT_CHANNEL,
                ACCESS_POINT_DBM,
                "wpa2",
            )
            for station in self._stations.values()
            if station.access_point is not None and station.name != name
        ]
        return tuple(sorted(found, key=lambda sighting: (-sighting.signal_dbm, sighting.ssid)))

    def join(self, name: str, ssid: str, passphrase: str) -> None:
        """Put a station that is on no network on `ssid`. Raises `JoinFailed`.

        Call `leave` first: a radio has to leave its network before it can try another.
        """
        station = self._station(name)
        if station.joined:
            raise Misuse(f"{name} has not left its network")
        network = self._networks.get(ssid)
        if network is not None and self._in_range(network) and (network.kind == "wifi" or station.cellular):
            _check_passphrase(ssid, self._passphrases[ssid], passphrase)
            if not network.address:
                raise JoinFailed("no_address", f"The network {ssid} gave no address. Check its router.")
            station.network = ssid
            return
        for host in self._stations.values():
            point = host.access_point
            if point is not None and point.ssid == ssid and host is not station:
                _check_passphrase(ssid, point.passphrase, passphrase)
                station.network, station.host = ssid, host.name
                return
        raise JoinFailed("not_found", f"No network named {ssid} is in range.")

    def leave(self, name: str) -> frozenset[int]:
        """Take a station off its network, if it is on one."""
        station = self._station(name)
        station.network = station.host = None
        return self._drop(frozenset(number for number, (opener, _) in self._streams.items() if opener == name))

    def open_access_point(self, name: str, ssid: str, passphrase: str) -> None:
        """Open the access point of a station, WPA2 with a passphrase.

        Raises `Conflict` if it runs one already or the name is on the air, `ConfigurationError` for a passphrase
        that WPA2 does not allow.
        """
        station = self._station(name)
        if station.access_point is not None:
            raise Conflict(f"{name} runs an access point already")
        taken = {other.access_point.ssid for other in self._stations.values() if other.access_point}
        if ssid in taken or ssid in self._networks:
            raise Conflict(f"a network named {ssid} is on the air already")
        check_passphrase(passphrase)
        station.access_point = _AccessPoint(ssid, passphrase)

    def close_access_point(self, name: str) -> frozenset[int]:
        """Close the access point of a station, if it runs one; its guests are then on no network."""
        station = self._station(name)
        station.access_point = None
        dropped: frozenset[int] = frozenset()
        for guest in self._stations.values():
            if guest.host == name:
                dropped |= self.leave(guest.name)
        return dropped

    def open_stream(self, name: str, host: str, port: int) -> tuple[int, Route]:
        """Decide where a stream of a station leads, and number it. Raises `Unreachable`."""
        route = self._route(self._station(name), host, port)
        self._last_stream += 1
        self._streams[self._last_stream] = (name, route)
        return self._last_stream, route

    def close_stream(self, number: int) -> None:
        """Forget a stream that ended by itself."""
        self._streams.pop(number, None)

    def is_open(self, number: int) -> bool:
        """Tell whether a stream may still carry bytes."""
        return number in self._streams

    def set_passphrase(self, ssid: str, passphrase: str) -> frozenset[int]:
        """Give a network another passphrase, as its owner would; its stations lose it. Raises `NotFound`."""
        network = self._network(ssid)
        if network.kind == "cellular":
            raise Conflict(f"{ssid} is a cellular network and has no passphrase")
        if passphrase:
            check_passphrase(passphrase)
        self._passphrases[ssid] = passphrase
        return self._expel(ssid)

    def take_down(self, ssid: str) -> frozenset[int]:
        """Take a network off the air. Raises `NotFound`."""
        self._down.add(self._network(ssid).ssid)
        return self._expel(ssid)

    def bring_up(self, ssid: str) -> None:
        """Put a network back on the air. Raises `NotFound`."""
        self._down.discard(self._network(ssid).ssid)

    def stations(self) -> tuple[StationView, ...]:
        """All attached stations, by name."""
        return tuple(
            StationView(
                station.name,
                station.cellular,
                station.network,
                station.access_point.ssid if station.access_point else None,
                sum(opener == station.name for opener, _ in self._streams.values()),
            )
            for _, station in sorted(self._stations.items())
        )

    def _route(self, station: _Station, host: str, port: int) -> Route:
        if station.network is None:
            raise Unreachable(f"{station.name} is on no network, so {host} is out of reach.")
        if station.host is not None:
            if (host, port) == (ACCESS_POINT_HOST, ACCESS_POINT_PORT):
                return ToStation(station.host)
            raise Unreachable(f"The access point {station.network} does not lead to {host}.")
        if not self._networks[station.network].uplink or (host.lower(), port) not in self._reachable:
            raise Unreachable(f"The network {station.network} does not lead to {host}:{port}.")
        return ToUplink(host.lower(), port)

    def _expel(self, ssid: str) -> frozenset[int]:
        dropped: frozenset[int] = frozenset()
        for station in self._stations.values():
            if station.network == ssid and station.host is None:
                dropped |= self.leave(station.name)
        return dropped

    def _drop(self, numbers: frozenset[int]) -> frozenset[int]:
        for number in numbers:
            del self._streams[number]
        return numbers

    def _in_range(self, network: Network) -> bool:
        return network.ssid not in self._down and network.signal_dbm >= OUT_OF_RANGE_DBM

    def _station(self, name: str) -> _Station:
        try:
            return self._stations[name]
        except KeyError:
            raise Misuse(f"no station named {name} is attached") from None

    def _network(self, ssid: str) -> Network:
        try:
            return self._networks[ssid]
        except KeyError:
            raise NotFound(f"There is no network named {ssid} in the premises.") from None


def _check_passphrase(ssid: str, expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise JoinFailed("wrong_password", f"The network {ssid} refused the passphrase.")


def _bssid(seed: str) -> bytes:
    """A stable address: unicast, locally administered (IEEE 802, clause 8.4)."""
    digest = hashlib.sha256(seed.encode()).digest()[:6]
    return bytes([digest[0] & 0xFC | 0x02]) + digest[1:]
