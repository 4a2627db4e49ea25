"""Who may connect at all: a bound on connections, and on half-open ones in all and from each source.

A connection counts as half-open from the moment that the kernel hands it over, so a flood of TLS handshakes that are
never finished, or of WebSockets that never prove anything, ends here.
"""

import ipaddress
import socket
from collections import Counter
from functools import lru_cache
from typing import Any

from admittance.server.relay.settings import RelaySettings

IPV6_SOURCE_BITS = 64


class Gate:
    """Connections are known by their file descriptors."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._half_open: dict[int, str] = {}
        self._per_source: Counter[str] = Counter()
        self.connections = 0
        self.refused = 0

    @property
    def half_open(self) -> int:
        return len(self._half_open)

    def admits(self, source: str) -> bool:
        """Whether one more may come from that address."""
        settings = self._settings
        is_free = (
            self.connections < settings.max_connections
            and len(self._half_open) < settings.max_half_open
            and self._per_source[_network(source)] < settings.max_half_open_per_source
        )
        self.refused += not is_free
        return is_free

    def entered(self, descriptor: int, source: str) -> None:
        """A connection was taken; it is half-open."""
        self.connections += 1
        self._half_open[descriptor] = _network(source)
        self._per_source[_network(source)] += 1

    def proven(self, descriptor: int) -> None:
        """The connection proved itself."""
        network = self._half_open.pop(descriptor, None)
        if network is None:
            return
        self._per_source[network] -= 1
        if not self._per_source[network]:
            del self._per_source[network]

    def left(self, descriptor: int) -> None:
        """The connection is closed."""
        self.connections -= 1
        self.proven(descriptor)


class GatedListener(socket.socket):
    """A listening socket whose `accept` gives only connections that its gate admits; others are reset."""

    __slots__ = ("_gate",)

    def __init__(self, listening: socket.socket, gate: Gate) -> None:
        super().__init__(fileno=listening.detach())
        self._gate = gate

    def accept(self) -> tuple[socket.socket, Any]:
        while True:
            connection, address = super().accept()
            source = source_of(address)
            if self._gate.admits(source):
                return _GatedConnection(connection, self._gate, source), address
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.close()


class _GatedConnection(socket.socket):
    """Tells its gate when it is closed, whoever closes it."""

    __slots__ = ("_gate", "_number")

    def __init__(self, connection: socket.socket, gate: Gate, source: str) -> None:
        super().__init__(fileno=connection.detach())
        self._gate = gate
        self._number = self.fileno()
        gate.entered(self._number, source)

    def close(self) -> None:
        if self.fileno() != -1:
            self._gate.left(self._number)
        super().close()


_RESET = b"\x01\0\0\0\0\0\0\0"
"""``struct linger {1, 0}``: no state stays behind for a connection that was never wanted."""


def source_of(address: Any) -> str:
    """The IP address in a socket's address."""
    return str(address[0]) if isinstance(address, tuple) and address else "unknown"


@lru_cache(4096)
def _network(source: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return source
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((address, IPV6_SOURCE_BITS), strict=False))
