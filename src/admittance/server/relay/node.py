"""A relay node: the connections that it holds, and what happens to them all."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from admittance.errors import AuthenticationFailed, QuotaExceeded, Unavailable
from admittance.server.clock import Clock
from admittance.server.relay.app_listener import AppConnection
from admittance.server.relay.authentication import AppProofs, DeviceProofs, PresentedToken, ProvenDevice
from admittance.server.relay.capture import Capture
from admittance.server.relay.connection import Connection
from admittance.server.relay.counters import Counters
from admittance.server.relay.defaults import LocalArrivals, LocalDirectory, NoConversations
from admittance.server.relay.device_listener import DeviceConnection
from admittance.server.relay.gate import Gate
from admittance.server.relay.ports import Arrivals, Conversations, DevicePort, Directory, Stream
from admittance.server.relay.settings import AUTHENTICATION_TIMEOUT_S, CLOSE_TIMEOUT_S, FAREWELL_S, RelaySettings
from admittance.server.relay.wheel import Deadlines, Wheel
from admittance.server.revocations.recent import RecentEndings
from admittance.server.revocations.store import grant_key
from admittance.server.turn import Turn, flush_all
from admittance.wire.relay import CloseCode, CloseReason, RelayProof, RelayTicket, retry_after_text

TICK_S = 1.0
DRAIN_TIMEOUT_S = 3.0

log = structlog.stdlib.get_logger(__name__)


class RelayNode:
    """`LocalDevices` and `EndingsListener` for the parts that join nodes together.

    `directory`, `arrivals` and `conversations` are put in before `start`; by itself a node is the only one.
    """

    def __init__(
        self,
        settings: RelaySettings,
        *,
        devices: DeviceProofs,
        apps: AppProofs,
        clock: Clock,
        random: Callable[[int], bytes] = os.urandom,
        capture: Capture | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.random = random
        self.time = time.monotonic
        self.capture = capture
        self.counters = Counters()
        self.gate = Gate(settings)
        self.directory: Directory = LocalDirectory(self)
        self.arrivals: Arrivals = LocalArrivals()
        self.conversations: Conversations = NoConversations()
        self.is_blind = False
        self.is_draining = False
        self.is_last_read = False
        self.more_follows = False
        self.app_proofs = apps
        self._device_proofs = devices
        self._devices: dict[str, DeviceConnection] = {}
        self._apps: dict[str, set[AppConnection]] = {}
        self._wheel: Wheel[Connection] = Wheel(settings.sweep_s)
        self._unproven: Deadlines[Connection] = Deadlines(AUTHENTICATION_TIMEOUT_S)
        self._closing: Deadlines[Connection] = Deadlines(CLOSE_TIMEOUT_S)
        self._endings = RecentEndings()
        self.touched_apps: list[AppConnection] = []
        self._busy: Turn[DeviceConnection] = Turn(flush_all)
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look after connections, on the running event loop."""
        self.loop = asyncio.get_running_loop()
        self._timer = self.loop.call_later(TICK_S, self._tick)

    @property
    def connections(self) -> int:
        return len(self._wheel)

    @property
    def devices(self) -> int:
        return len(self._devices)

    @property
    def apps(self) -> int:
        return sum(map(len, self._apps.values()))

    # What the other parts of a server ask of a node.

    def port(self, device_id: str) -> DevicePort | None:
        """See `LocalDevices.port`."""
        return self._devices.get(device_id)

    def end(self, device_id: str, arrival: int, reason: CloseReason) -> None:
        """See `LocalDevices.end`."""
        connection = self._devices.get(device_id)
        if connection is not None and connection.arrival == arrival:
            connection.fail(reason.close_code, reason, self._text(reason))

    def ended(self, kind: str, key: str, number: int) -> None:
        """See `EndingsListener.ended`."""
        self._endings.add(kind, key, number)
        if kind == "device":
            device = self._devices.get(key)
            if device is not None and device.proven is not None and device.proven.last_ending < number:
                del self._devices[key]
                self.arrivals.departed(device.device_id, device.arrival)
                device.end_streams(CloseReason.REVOKED)
                self.conversations.tell_ended(key, device.revoke)
                self.loop.call_later(FAREWELL_S, device.revoke)
        elif kind == "account":
            for app in tuple(self._apps.get(key, ())):
                app.end(CloseReason.REVOKED)
        elif kind == "grant":
            device_id, _, account_id = key.partition(" ")
            for app in tuple(self._apps.get(account_id, ())):
                if app.device_id == device_id:
                    app.end(CloseReason.REVOKED)
        else:
            for app in [app for apps in self._apps.values() for app in apps]:
                if app.identity is not None and app.identity.session_id == key:
                    app.end(CloseReason.REVOKED)

    def blinded(self) -> None:
        """See `EndingsListener.blinded`."""
        self.is_blind = True
        for app in [app for apps in self._apps.values() for app in apps]:
            app.end(CloseReason.UNAVAILABLE)
        for device in tuple(self._devices.values()):
            device.end_streams(CloseReason.UNAVAILABLE)

    def sighted(self) -> None:
        """See `EndingsListener.sighted`."""
        self.is_blind = False

    def retry_after(self) -> str:
        """When to come back, different for each."""
        return retry_after_text(secrets.randbelow(self.settings.drain_s * 1000))

    async def drain(self) -> None:
        """Ask everybody to come back later or elsewhere, and wait until they have gone, for `DRAIN_TIMEOUT_S`."""
        self.is_draining = True
        for app in [app for apps in self._apps.values() for app in apps]:
            app.end(CloseReason.DRAINING)
        for connection in tuple(self._wheel):
            if isinstance(connection, DeviceConnection):
                connection.fail(CloseCode.UNAVAILABLE, CloseReason.DRAINING, self.retry_after())
            else:
                connection.close(CloseCode.UNAVAILABLE, self.retry_after())
        if self._wheel:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), DRAIN_TIMEOUT_S)
        for connection in tuple(self._wheel):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
        if self.capture is not None:
            self.capture.close()

    # What its connections tell a node.

    def opened(self, connection: Connection) -> None:
        """A WebSocket is open; it has proved nothing."""
        self._wheel.add(connection)
        self._emptied.clear()
        self._unproven.add(connection, self.time())
        if self.is_draining:
            connection.close(CloseCode.UNAVAILABLE, self.retry_after())

    def closing(self, connection: Connection) -> None:
        """A connection says goodbye."""
        self._closing.add(connection, self.time())

    def gone(self, connection: Connection) -> None:
        """A connection is no more."""
        self._wheel.discard(connection)
        if not self._wheel:
            self._emptied.set()
        self._unproven.discard(connection)
        self._closing.discard(connection)
        if isinstance(connection, AppConnection) and connection.identity is not None:
            self._forget_app(connection, connection.identity.account_id)

    def touched(self, app: AppConnection) -> None:
        """There is something to send to that app: when all is read that came at once, or else in this turn."""
        self.touched_apps.append(app)
        if len(self.touched_apps) == 1:
            self.loop.call_soon(self.flush_apps)

    def flush_apps(self) -> None:
        """Send what devices sent."""
        if self.touched_apps:
            touched, self.touched_apps = self.touched_apps, []
            flush_all(touched)

    def busy(self, device: DeviceConnection) -> None:
        """There is something to send to that device, with all else of this turn of the event loop."""
        self._busy.add(device)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that the node keeps until it ends."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def device_left(self, device: DeviceConnection) -> None:
        """No stream can be opened to that connection any more."""
        if self._devices.get(device.device_id) is device:
            del self._devices[device.device_id]
            self.arrivals.departed(device.device_id, device.arrival)

    async def admit_device(
        self, device: DeviceConnection, proof: RelayProof, nonce: bytes, certificate_sha256: bytes
    ) -> None:
        """Check a device's proof and take it in. Raises `AuthenticationFailed` or `Unavailable`."""
        try:
            proven = await self._device_proofs.check(proof, nonce, certificate_sha256, device.source)
        except AuthenticationFailed:
            self.counters.devices_refused += 1
            raise
        if device.closing:
            return
        if self._is_over(proven):
            self._say_farewell(device, proven)
        elif device.is_plain:
            device.accept(proven, need="proof", settled=lambda held: self._settled(device, proven, held))
        else:
            await self._enter(device, proven)
            device.accept(proven, need="none", settled=lambda _: None)

    async def admit_app(self, app: AppConnection, shown: PresentedToken | RelayTicket) -> Stream:
        """Check an app's token or ticket and open its stream.

        Raises `AuthenticationFailed`, `NotFound`, `NotAllowed`, `DeviceOffline`, `QuotaExceeded` or `Unavailable`.
        """
        if self.is_blind or self.is_draining:
            raise Unavailable("This relay node opens no streams for now.")
        mark = self._endings.mark()
        try:
            identity = await self.app_proofs.identify(shown, app.device_id)
        except AuthenticationFailed:
            self.counters.apps_refused += 1
            raise
        own = self._apps.setdefault(identity.account_id, set())
        if len(own) >= self.settings.max_streams_per_account:
            raise QuotaExceeded("This account has too many streams.")
        own.add(app)
        app.identity = identity
        try:
            port = await self.directory.find(app.device_id)
            opening = port.open(app) if self.capture is None else self.capture.open(port, app)
            stream = await opening
        except BaseException:
            self._forget_app(app, identity.account_id)
            raise
        over = (
            ("account", identity.account_id),
            ("token", identity.session_id),
            ("device", app.device_id),
            ("grant", grant_key(app.device_id, identity.account_id)),
        )
        if app.closing or self.is_blind or any(self._endings.since(mark, *ending) for ending in over):
            stream.close(CloseReason.UNAVAILABLE)
            self._forget_app(app, identity.account_id)
            raise Unavailable("What this stream rests on ended.")
        self._proven(app)
        self.counters.apps_accepted += 1
        return stream

    async def _enter(self, device: DeviceConnection, proven: ProvenDevice) -> None:
        """Let apps reach the device, by this connection and no older one. Raises `Unavailable`."""
        arrival = await self.arrivals.arrived(proven.device_id)
        before = self._devices.get(proven.device_id)
        is_older = before is not None and before.arrival > arrival
        if device.closing or self.is_draining or self._is_over(proven) or is_older:
            self.arrivals.departed(proven.device_id, arrival)
            raise Unavailable("This connection is over.")
        device.arrival = arrival
        self._devices[proven.device_id] = device
        if before is not None:
            before.fail(CloseCode.SUPERSEDED, CloseReason.SUPERSEDED)
        self._proven(device)
        self.counters.devices_accepted += 1

    def _settled(self, device: DeviceConnection, proven: ProvenDevice, held: bool) -> None:
        """A device without TLS has proved its channel key, or not."""
        if not held:
            device.fail(CloseCode.NOT_AUTHENTICATED, CloseReason.PROTOCOL)
        elif not device.closing:
            self.spawn(self._enter_plain(device, proven))

    async def _enter_plain(self, device: DeviceConnection, proven: ProvenDevice) -> None:
        try:
            await self._enter(device, proven)
        except Unavailable:
            device.fail(CloseCode.UNAVAILABLE, CloseReason.UNAVAILABLE, self.retry_after())

    def _say_farewell(self, device: DeviceConnection, proven: ProvenDevice) -> None:
        """Let a device whose access ended stay just long enough to be told so."""
        self.counters.devices_refused += 1
        self._proven(device)
        device.accept(proven, need="notice", settled=device.revoke)
        self.loop.call_later(FAREWELL_S, device.revoke)

    def _is_over(self, proven: ProvenDevice) -> bool:
        return proven.is_ended or self._endings.after(proven.last_ending, "device", proven.device_id)

    def _proven(self, connection: Connection) -> None:
        self._unproven.discard(connection)
        self.gate.proven(connection.descriptor)

    def _forget_app(self, app: AppConnection, account_id: str) -> None:
        own = self._apps.get(account_id, set())
        own.discard(app)
        if not own:
            self._apps.pop(account_id, None)

    def _text(self, reason: CloseReason) -> str:
        return self.retry_after() if reason.close_code is CloseCode.UNAVAILABLE else ""

    def _tick(self) -> None:
        self._timer = self.loop.call_later(TICK_S, self._tick)
        now = self.time()
        for connection in self._wheel.turn():
            connection.sweep(self.settings.idle_sweeps)
        for connection in self._unproven.due(now):
            connection.close(CloseCode.NOT_AUTHENTICATED)
        for connection in self._closing.due(now):
            connection.abort()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("relay_task_failed", exc_info=task.exception())
