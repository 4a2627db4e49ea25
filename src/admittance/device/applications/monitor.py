"""A medical monitor: heart rate, oxygen saturation and temperature of a patient, simulated, with an alarm."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from admittance.device.applications import Application, Content, Host, Request
from admittance.errors import ConfigurationError, Malformed
from admittance.wire.senml import Record

MEASUREMENTS: Final = "/measurements"
ALARM: Final = "/alarm"
PERIOD_S: Final = 1.0
HEART_RATE: Final = "heart-rate"
LIMITS: Final = range(20, 301)
"""Of a heart rate that an alarm may be set to, in beats a minute."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """`read` gives a value in `unit` (SenML's name)."""

    name: str
    unit: str
    read: Callable[[], float]


@dataclass(slots=True)
class Alarm:
    """Sounds while the heart rate is outside of `lowest` to `highest` (beats a minute), unless it was silenced."""

    lowest: int = 50
    highest: int = 120
    silenced: bool = False

    def change(self, changes: object) -> None:
        """Raises `Malformed` for anything but new values of what there is."""
        if not isinstance(changes, dict) or not changes or not changes.keys() <= {"lowest", "highest", "silenced"}:
            raise Malformed("Set lowest, highest or silenced.")
        lowest, highest = changes.get("lowest", self.lowest), changes.get("highest", self.highest)
        silenced = changes.get("silenced", self.silenced)
        if not _is_limit(lowest) or not _is_limit(highest) or lowest >= highest or not isinstance(silenced, bool):
            raise Malformed("The limits are beats a minute, the lowest below the highest; silenced is true or false.")
        self.lowest, self.highest, self.silenced = lowest, highest, silenced

    def sounds_at(self, heart_rate: float) -> bool:
        return not self.silenced and not self.lowest <= heart_rate <= self.highest


def make(argument: str) -> Application:
    """Raises `ConfigurationError` for any argument: the monitor takes none."""
    if argument:
        raise ConfigurationError("The monitor takes no argument.")
    heart_rate = Measurement(HEART_RATE, "beat/min", lambda: _simulated(72.0, 6.0, 13.0))
    measurements = (
        heart_rate,
        Measurement("oxygen-saturation", "%", lambda: _simulated(97.0, 1.0, 31.0)),
        Measurement("temperature", "Cel", lambda: _simulated(36.8, 0.2, 3600.0)),
    )
    alarm = Alarm()
    app = Application("monitor")

    @app.resource(MEASUREMENTS, observable=True, title="Measurements")
    async def measured(_request: Request) -> Content:
        return Content.senml([Record(each.name, each.read(), each.unit) for each in measurements])

    @app.resource(ALARM, methods=("GET", "PUT"), observable=True, title="Alarm")
    async def alarmed(request: Request) -> Content:
        if request.method == "PUT":
            alarm.change(request.value())
            app.changed(ALARM)
        sounding = alarm.sounds_at(heart_rate.read())
        return Content.cbor(
            {
                "lowest": alarm.lowest,
                "highest": alarm.highest,
                "silenced": alarm.silenced,
                "sounding": sounding,
            }
        )

    @app.task
    async def measure(_host: Host) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            app.changed(MEASUREMENTS)

    return app


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in LIMITS


def _simulated(mean: float, swing: float, period_s: float) -> float:
    """A value that swings about its mean."""
    return round(mean + swing * math.sin(time.monotonic() / period_s * math.tau), 1)
