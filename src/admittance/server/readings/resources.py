"""What devices ask for over their conversation: taking readings, and the time."""

from collections.abc import Callable

from admittance.errors import Malformed, Throttled
from admittance.server.clock import Clock
from admittance.server.conversation.resources import ConversingDevice, Resources
from admittance.server.readings.service import ReadingsService
from admittance.wire import message
from admittance.wire.message import Message
from admittance.wire.readings import READINGS_PATH, TIME_PATH, Readings, ServerTime
from admittance.wire.senml import MAX_PACK_BYTES

BATCHES_PER_MINUTE = 60
"""Of one device on one node; a device that comes back with a full spool needs no more."""

MAX_BATCH_BYTES = MAX_PACK_BYTES + 64
MAX_DEVICES_COUNTED = 100_000


def resources(readings: ReadingsService, clock: Clock, monotonic: Callable[[], float]) -> Resources:
    """``POST`` and ``GET /readings``, and ``GET /time``. `monotonic` tells seconds."""
    rate = BatchRate(monotonic)

    async def take(device: ConversingDevice, payload: bytes) -> Message:
        rate.spend(device.device_id)
        return await readings.take(
            device.device_id, device.epoch, message.decode(payload, Readings, max_bytes=MAX_BATCH_BYTES)
        )

    async def highest(device: ConversingDevice, payload: bytes) -> Message:
        _require_empty(payload)
        return await readings.highest(device.device_id, device.epoch)

    async def time(_device: ConversingDevice, payload: bytes) -> Message:
        _require_empty(payload)
        return ServerTime(int(clock()))

    return {("POST", READINGS_PATH): take, ("GET", READINGS_PATH): highest, ("GET", TIME_PATH): time}


class BatchRate:
    """Lets each device hand in `BATCHES_PER_MINUTE`, all at once if it likes."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}

    def spend(self, device_id: str) -> None:
        """Count a batch. Raises `Throttled` for one too many."""
        now = self._monotonic()
        if len(self._full_at) >= MAX_DEVICES_COUNTED:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
        interval_s = 60.0 / BATCHES_PER_MINUTE
        full_at = max(now, self._full_at.get(device_id, 0.0)) + interval_s
        if full_at > now + 60.0:
            raise Throttled(round(full_at - now - 60.0) + 1)
        self._full_at[device_id] = full_at


def _require_empty(payload: bytes) -> None:
    if payload:
        raise Malformed("This request has no payload.")
