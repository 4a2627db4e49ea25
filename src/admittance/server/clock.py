"""Time is an argument of every service: a function that tells Unix seconds."""

import time
from collections.abc import Callable

Clock = Callable[[], float]

system_clock: Clock = time.time
