"""Handshakes that somebody began and nobody has proven yet: bounded, so that a flood costs little and bars nobody.

A first message is always taken. What gives way is the oldest handshake of the peer that has the most, so a peer that
floods displaces its own, and one among many peers loses a handshake only if as many others as fit begin one during
its round trip.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from admittance.errors import NotFound

LIFETIME_S: Final = 10.0
PER_PEER: Final = 8
IN_ALL: Final = 64

HandshakeT = TypeVar("HandshakeT")


class HalfOpen(Generic[HandshakeT]):
    """Half-open handshakes by peer and connection id. One serves all channels of a program, or one channel alone."""

    def __init__(self, per_peer: int = PER_PEER, in_all: int = IN_ALL, lifetime_s: float = LIFETIME_S) -> None:
        self._per_peer = per_peer
        self._in_all = in_all
        self._lifetime_s = lifetime_s
        self._peers: dict[Hashable, dict[bytes, tuple[HandshakeT, float]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._peers.values()))

    def connection_ids(self, peer: Hashable) -> frozenset[bytes]:
        """Ours, in the handshakes of `peer`."""
        return frozenset(self._peers.get(peer, ()))

    def make_room(self, peer: Hashable, now: float) -> None:
        """Drop what is too old, and then what must give way to a new handshake of `peer`."""
        self._expire(now)
        if len(self._peers.get(peer, ())) >= self._per_peer:
            self._drop_oldest(peer)
        if len(self) >= self._in_all:
            self._drop_oldest(max(self._peers, key=lambda known: (len(self._peers[known]), -self._oldest(known))))

    def add(self, peer: Hashable, connection_id: bytes, handshake: HandshakeT, now: float) -> None:
        self.make_room(peer, now)
        self._peers.setdefault(peer, {})[connection_id] = (handshake, now)

    def take(self, peer: Hashable, connection_id: bytes, now: float) -> HandshakeT:
        """Take a handshake out: it has one try. Raises `NotFound`."""
        self._expire(now)
        handshakes = self._peers.get(peer, {})
        if connection_id not in handshakes:
            raise NotFound("There is no such handshake.")
        handshake, _ = handshakes.pop(connection_id)
        self._forget_if_empty(peer)
        return handshake

    def get(self, peer: Hashable, connection_id: bytes, now: float) -> HandshakeT | None:
        """A handshake that stays, for one whose messages anybody may have made up."""
        self._expire(now)
        found = self._peers.get(peer, {}).get(connection_id)
        return None if found is None else found[0]

    def drop(self, peer: Hashable) -> None:
        """Forget a peer that has gone."""
        self._peers.pop(peer, None)

    def _oldest(self, peer: Hashable) -> float:
        return min(since for _, since in self._peers[peer].values())

    def _drop_oldest(self, peer: Hashable) -> None:
        handshakes = self._peers[peer]
        del handshakes[min(handshakes, key=lambda connection_id: handshakes[connection_id][1])]
        self._forget_if_empty(peer)

    def _expire(self, now: float) -> None:
        for peer, handshakes in list(self._peers.items()):
            for connection_id, (_, since) in list(handshakes.items()):
                if now >= since + self._lifetime_s:
                    del handshakes[connection_id]
            self._forget_if_empty(peer)

    def _forget_if_empty(self, peer: Hashable) -> None:
        if not self._peers.get(peer):
            self._peers.pop(peer, None)
