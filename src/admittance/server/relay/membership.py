"""Which nodes are alive: each says so on the bus every 0.3 s, and one that is silent for a second is dead."""

import asyncio
from collections.abc import Callable

import structlog

from admittance.server.bus.port import Bus
from admittance.server.relay.link_frames import NODE_ID_BYTES

SUBJECT = "beats"
TICK_S = 0.15
TICKS_PER_BEAT = 2
DEAD_AFTER_S = 1.0
STALLED_S = 0.3

_ALIVE, _LEAVING = b"\x01", b"\x00"
_BEAT_BYTES = NODE_ID_BYTES + 1

log = structlog.stdlib.get_logger(__name__)


class Membership:
    """`joined` and `gone` hear of other nodes, `beaten` after each beat of this one."""

    def __init__(
        self,
        *,
        bus: Bus,
        node_id: str,
        joined: Callable[[str], None],
        gone: Callable[[str], None],
        beaten: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._node_id = node_id
        self._joined = joined
        self._gone = gone
        self._beaten = beaten
        self._heard: dict[str, float] = {}
        self._started_at = 0.0
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._bus.subscribe(SUBJECT, self._hear)
        self._started_at = asyncio.get_running_loop().time()
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
            self._say(_LEAVING)

    @property
    def hears_itself(self) -> bool:
        """Whether the bus carries what this node says."""
        return self._node_id in self._heard

    def may_be_alive(self, node_id: str) -> bool:
        """Whether that node was heard, or there was no time yet to hear it."""
        now = asyncio.get_running_loop().time()
        return node_id in self._heard or now - self._started_at < DEAD_AFTER_S

    def sign_of_life(self, node_id: str) -> None:
        """A node that is known said something else than a beat."""
        if node_id in self._heard:
            self._heard[node_id] = asyncio.get_running_loop().time()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due, count = loop.time(), 0
        while True:
            self._skip_stall(loop.time() - due)
            if count % TICKS_PER_BEAT == 0:
                self._say(_ALIVE)
                self._beaten()
            self._bury(loop.time())
            count += 1
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)

    def _skip_stall(self, late_s: float) -> None:
        """Time in which this process stood still says nothing about the others."""
        if late_s > STALLED_S:
            self._heard = {node_id: at + late_s for node_id, at in self._heard.items()}

    def _bury(self, now: float) -> None:
        for node_id in [node_id for node_id, at in self._heard.items() if now - at >= DEAD_AFTER_S]:
            self._remove(node_id, "silent")

    def _hear(self, data: bytes) -> None:
        if len(data) != _BEAT_BYTES:
            log.warning("beat_malformed")
            return
        node_id = data[:NODE_ID_BYTES].hex()
        if data[NODE_ID_BYTES:] == _LEAVING:
            self._remove(node_id, "left")
            return
        is_new = node_id not in self._heard
        self._heard[node_id] = asyncio.get_running_loop().time()
        if is_new and node_id != self._node_id:
            log.info("node_joined", node=node_id)
            self._joined(node_id)

    def _remove(self, node_id: str, reason: str) -> None:
        if self._heard.pop(node_id, None) is None:
            return
        if node_id == self._node_id:
            log.warning("bus_silent")
            return
        log.warning("node_gone", node=node_id, reason=reason)
        self._gone(node_id)

    def _say(self, what: bytes) -> None:
        self._bus.publish(SUBJECT, bytes.fromhex(self._node_id) + what)
