"""The machine behind `prov-scan`, `prov-config` and `prov-ctrl`: plaintext in, plaintext out.

The shell carries out what `drain` gives and reports back through `notify`. A device that has an owner answers
`prov-config` and `prov-ctrl` only while `permitted` says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

from admittance.errors import Malformed
from admittance.wire.protocomm import control, network, scan
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.scan import ScannedNetwork

VERSION: Final = "proto-ver"
SESSION: Final = "prov-session"
SCAN: Final = "prov-scan"
CONFIG: Final = "prov-config"
CONTROL: Final = "prov-ctrl"
SECURE_ENDPOINTS: Final = frozenset({SCAN, CONFIG, CONTROL})

MAX_NETWORKS: Final = 64


@dataclass(frozen=True, slots=True)
class StartScan:
    """Scan for networks, and report by `ScanFinished`."""


@dataclass(frozen=True, slots=True)
class JoinNetwork:
    """Join a network, keep it once it gave an address, and report by `JoinFinished` with the same attempt."""

    ssid: str
    passphrase: str = field(repr=False)
    attempt: int


@dataclass(frozen=True, slots=True)
class ResetRequested:
    """Forget the network that was tried, and be ready for another."""


@dataclass(frozen=True, slots=True)
class ReprovisionRequested:
    """Be ready for another network, the present one remains until it is replaced."""


@dataclass(frozen=True, slots=True)
class ScanFinished:
    networks: tuple[ScannedNetwork, ...]


@dataclass(frozen=True, slots=True)
class JoinFinished:
    """`cause` is empty after a success, otherwise one of the causes of `NetworkFailure`."""

    attempt: int
    cause: str = ""
    ip4_address: str = ""


StockCommand = StartScan | JoinNetwork | ResetRequested | ReprovisionRequested
StockEvent = ScanFinished | JoinFinished


@dataclass(frozen=True, slots=True)
class StockAnswer:
    """`after_scan`: to be sent only when the scan that runs has ended."""

    body: bytes
    after_scan: bool = False


class StockEndpoints:
    """See the module. `permitted` gets the endpoint and the monotonic time."""

    def __init__(self, permitted: Callable[[str, float], bool]) -> None:
        self._permitted = permitted
        self._commands: list[StockCommand] = []
        self._scanning = False
        self._networks: tuple[ScannedNetwork, ...] = ()
        self._wanted: network.SetNetwork | None = None
        self._attempt = 0
        self._status = network.NetworkStatus(Status.SUCCESS)

    def handle(self, endpoint: str, request: bytes, now: float) -> StockAnswer:
        """Answer one request. Raises `Malformed`."""
        match endpoint:
            case "prov-scan":
                return self._scan(scan.decode_command(request))
            case "prov-config":
                return self._config(network.decode_command(request), self._permitted(endpoint, now))
            case "prov-ctrl":
                return self._control(control.decode_command(request), self._permitted(endpoint, now))
        raise Malformed("There is no such endpoint.")

    def drain(self) -> tuple[StockCommand, ...]:
        commands, self._commands = tuple(self._commands), []
        return commands

    def notify(self, event: StockEvent) -> None:
        """Note how a scan or an attempt ended; news of an attempt that was replaced is ignored."""
        match event:
            case ScanFinished():
                self._scanning = False
                self._networks = event.networks[:MAX_NETWORKS]
            case JoinFinished():
                if event.attempt == self._attempt and self._wanted is not None:
                    self._status = _outcome(event, self._wanted.ssid)
            case _:
                assert_never(event)

    def _scan(self, command: scan.ScanCommand) -> StockAnswer:
        match command:
            case scan.StartScan():
                if not self._scanning:
                    self._scanning = True
                    self._commands.append(StartScan())
                return StockAnswer(scan.encode_started(), after_scan=command.blocking)
            case scan.AskScanStatus():
                count = 0 if self._scanning else len(self._networks)
                return StockAnswer(scan.encode_status(scan.ScanStatus(not self._scanning, count)))
            case scan.AskScanResult():
                networks = () if self._scanning else self._networks
                end = command.start_index + command.count
                return StockAnswer(scan.encode_result(networks[command.start_index : end]))

    def _config(self, command: network.ConfigCommand, permitted: bool) -> StockAnswer:
        if isinstance(command, network.AskNetworkStatus):
            refused = network.NetworkStatus(Status.INVALID_SESSION)
            return StockAnswer(network.encode_status(self._status if permitted else refused))
        status = Status.SUCCESS
        if not permitted:
            status = Status.INVALID_SESSION
        elif isinstance(command, network.SetNetwork):
            self._wanted = command
        elif self._wanted is None:
            status = Status.INVALID_ARGUMENT
        else:
            self._attempt += 1
            self._status = network.NetworkStatus(Status.SUCCESS, "connecting")
            self._commands.append(JoinNetwork(self._wanted.ssid, self._wanted.passphrase, self._attempt))
        return StockAnswer(network.encode_done(command, status))

    def _control(self, command: control.ControlCommand, permitted: bool) -> StockAnswer:
        if not permitted:
            return StockAnswer(control.encode_done(command, Status.INVALID_SESSION))
        self._wanted = None
        self._attempt += 1
        self._status = network.NetworkStatus(Status.SUCCESS)
        self._commands.append(ResetRequested() if command == "reset" else ReprovisionRequested())
        return StockAnswer(control.encode_done(command, Status.SUCCESS))


def _outcome(event: JoinFinished, ssid: str) -> network.NetworkStatus:
    """The stock words know two reasons of a failure: a wrong password, and anything else."""
    if not event.cause:
        return network.NetworkStatus(Status.SUCCESS, "connected", ip4_address=event.ip4_address, ssid=ssid)
    reason: network.FailReason = "auth_error" if event.cause == "wrong_password" else "network_not_found"
    return network.NetworkStatus(Status.SUCCESS, "failed", fail_reason=reason)
