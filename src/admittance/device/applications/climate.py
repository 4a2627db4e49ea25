"""A climate sensor: temperature and humidity, simulated, or the temperature that Linux measures."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from admittance.device.applications import Application, Content, Host, Request
from admittance.errors import ConfigurationError, Unavailable
from admittance.wire.senml import Record

TEMPERATURE: Final = "/sensors/temperature"
HUMIDITY: Final = "/sensors/humidity"
PERIOD_S: Final = 10.0
DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """`read` gives a value in `unit` (SenML's name), or raises `Unavailable`."""

    name: str
    unit: str
    read: Callable[[], float]


def make(argument: str) -> Application:
    """Without an argument all is simulated; else it is a folder such as /sys/class/hwmon/hwmon0.

    Raises `ConfigurationError` if there is no temperature in that folder.
    """
    if argument:
        return _application({TEMPERATURE: Sensor("temperature", "Cel", _measured(Path(argument) / "temp1_input"))})
    return _application(
        {
            TEMPERATURE: Sensor("temperature", "Cel", lambda: _simulated(21.0, 3.0)),
            HUMIDITY: Sensor("humidity", "%RH", lambda: _simulated(48.0, -8.0)),
        }
    )


def _application(sensors: dict[str, Sensor]) -> Application:
    app = Application("climate")

    def serve(path: str, sensor: Sensor) -> None:
        @app.resource(path, observable=True, title=sensor.name)
        async def answer(_request: Request) -> Content:
            return Content.senml([Record(sensor.name, sensor.read(), sensor.unit)])

    for path, sensor in sensors.items():
        serve(path, sensor)

    @app.task
    async def measure(_host: Host) -> None:
        while True:
            for path, sensor in sensors.items():
                app.record(sensor.name, sensor.read(), sensor.unit)
                app.changed(path)
            await asyncio.sleep(PERIOD_S)

    return app


def _simulated(mean: float, swing: float) -> float:
    """A value that swings once a day."""
    return round(mean + swing * math.sin(time.time() / DAY_S * math.tau), 2)


def _measured(path: Path) -> Callable[[], float]:
    """Reads thousandths of a degree, as the kernel's hwmon interface gives them."""

    def read() -> float:
        try:
            return int(path.read_text()) / 1000
        except (OSError, ValueError) as error:
            raise Unavailable(f"{path} cannot be read.") from error

    try:
        read()
    except Unavailable as error:
        raise ConfigurationError(str(error)) from error
    return read
