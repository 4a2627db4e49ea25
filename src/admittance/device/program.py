"""The agent's own process, and how to become it.

A device has little memory, so `become` replaces the process that parsed the command line by one that loads neither
that parser nor any docstring, nor what `lean` keeps out: bumble needs some of that, so a device that uses Bluetooth
goes without `lean`. Python keeps 2 MB of what it takes to compile the agent, so
a process that had to compile gives way to one that finds bytecode.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import msgspec

from admittance.device import agent
from admittance.device.applications.loading import load
from admittance.device.display.png import PngDisplay
from admittance.device.display.port import Display, NoDisplay
from admittance.device.display.terminal import TerminalDisplay
from admittance.device.keys import load_birth, read_birth
from admittance.device.life import Settings
from admittance.device.log import LineLog
from admittance.device.onboarding import QrForm, Times
from admittance.device.radio.simulated import SimulatedRadio
from admittance.device.talking import TalkSettings
from admittance.errors import AdmittanceError, ConfigurationError, TpmRefused, TpmUnavailable, Unavailable

EXIT_CODES: Final[dict[type[AdmittanceError], int]] = {
    ConfigurationError: 6,
    Unavailable: 7,
    TpmUnavailable: 7,
    TpmRefused: 11,
}
UNEXPECTED: Final = 1

_LEAN: Final = "import admittance.device.lean; "
_LOAD: Final = "import sys; from admittance.device.program import main, run_afresh; "
_MAIN: Final = _LOAD + "main(sys.argv[1])"
_COMPILE: Final = _LOAD + "run_afresh(sys.argv[1])"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent is run with. `png` is the file that a "png" display replaces; `tcti` leads to the device's TPM
    if it is not where its birth says; `application` names what it is there for, as `applications.loading` has it."""

    birth: str
    state: str
    premises: str
    display: Literal["terminal", "png", "none"]
    png: str
    rotation_s: float
    grace_s: float
    open_s: float
    linger_s: float
    poll_s: float
    qr_form: QrForm
    json_logs: bool
    tcti: str
    application: str = ""
    local: str = ""
    batch_s: float = 60.0
    relay_plain: bool = False
    ble: str = ""


def become(options: Options) -> NoReturn:
    """Replace this process by the agent's, which keeps its number."""
    encoded = msgspec.json.encode(options).decode()
    if Path(cache_from_source(__file__, optimization="2")).exists():
        run_afresh(encoded)
    _replace(_COMPILE, encoded, options)


def run_afresh(encoded: str) -> NoReturn:
    """Replace this process by one that runs the agent."""
    _replace(_MAIN, encoded, msgspec.json.decode(encoded, type=Options))


def main(encoded: str) -> None:
    """Run the agent until it is told to end. Exits 6 for what an operator must mend, 7 for absent premises or an
    absent TPM, 11 for a TPM that refuses."""
    options = msgspec.json.decode(encoded, type=Options)
    log = LineLog(sys.stderr, time.monotonic, as_json=options.json_logs)
    try:
        with _tpm(options) as tcti:
            asyncio.run(_until_told(_run(options, tcti, log)))
    except AdmittanceError as error:
        log("failed", cause=error.code, detail=str(error))
        sys.exit(EXIT_CODES.get(type(error), UNEXPECTED))
    except OSError as error:
        log("failed", cause="disk", detail=f"The disk does not take the device's state: {error.strerror}.")
        sys.exit(UNEXPECTED)


def _replace(program: str, encoded: str, options: Options) -> NoReturn:
    chosen = program if options.ble else _LEAN + program
    os.execv(sys.executable, [sys.executable, "-OO", "-c", chosen, encoded])


@contextmanager
def _tpm(options: Options) -> Iterator[str]:
    """The TCTI of the device's TPM, or nothing. A software TPM runs as long as the agent."""
    folder = Path(options.birth)
    birth = read_birth(folder)
    if options.tcti or birth.tpm is None or birth.tpm.tcti:
        yield options.tcti
        return
    from admittance.tpm.software import software_tpm

    with software_tpm(folder / birth.tpm.swtpm_state) as tcti:
        yield tcti


async def _run(options: Options, tcti: str, log: LineLog) -> None:
    made = load_birth(Path(options.birth), tcti)
    radio = await SimulatedRadio.attach(options.premises, made.birth.device_id)
    times = Times(
        rotation_s=options.rotation_s,
        grace_s=options.grace_s,
        open_s=options.open_s,
        linger_s=options.linger_s,
    )
    application = load(options.application) if options.application else None
    talk = TalkSettings(application, options.local, options.batch_s, options.relay_plain, options.ble)
    settings = Settings(times=times, qr_form=options.qr_form, poll_s=options.poll_s, talk=talk)
    try:
        await agent.run(
            made,
            state=Path(options.state),
            radio=radio,
            display=_display(options),
            log=log,
            settings=settings,
        )
    finally:
        await radio.close()


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


def _display(options: Options) -> Display:
    if options.display == "png":
        return PngDisplay(Path(options.png))
    return TerminalDisplay(sys.stdout) if options.display == "terminal" else NoDisplay()
