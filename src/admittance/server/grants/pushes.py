"""Telling devices what was granted: a device has what the database has, or is told again until it does.

What is to be told is a matter of the database alone, so a node that dies loses nothing: another one, or the same one
later, sees that the device is behind. Devices take a push that they know already for done, and refuse one that builds
on another sequence than theirs: then they are told everything.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from admittance.errors import AdmittanceError, Malformed, Refused, Unavailable
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.grants import key_store, store
from admittance.server.grants.key_store import PossessionKey
from admittance.server.grants.service import subject_of
from admittance.server.keys.envelope import Envelope
from admittance.wire import message
from admittance.wire.access import MAX_ENDED, MAX_KEYS, PUSH_PATH, AccessPush, AccessState, GrantedKey
from admittance.wire.coap import codes
from admittance.wire.coap.formats import CBOR
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, encode_uint, path_options

ACKNOWLEDGE_WITHIN_S = 5.0
AT_ONCE: Final = 64
"""Devices that one node tells something at the same time."""

AGAIN_AFTER_S: Final = 6
LONGEST_WAIT_S: Final = 300
LOOK_EVERY_S: Final = 1.0

log = structlog.stdlib.get_logger(__name__)

_ASK = CoapMessage(codes.GET, options=path_options(PUSH_PATH))


class Devices(Protocol):
    """Asks devices, wherever they are connected."""

    async def request(self, device_id: str, request: CoapMessage, timeout_s: float) -> CoapMessage:
        """As `ConversationService.request`."""
        ...


@dataclass(frozen=True)
class _Change:
    """A push, and whether it tells everything."""

    push: AccessPush
    is_whole: bool


class Pushes:
    """`run` goes on until it is cancelled."""

    def __init__(
        self, *, database: Database, audit: AuditLog, envelope: Envelope, devices: Devices, clock: Clock
    ) -> None:
        self._database = database
        self._audit = audit
        self._envelope = envelope
        self._devices = devices
        self._clock = clock
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        database.listen(key_store.SIGNAL, self._changed.set)

    async def tell(self, device_id: str, sequence: int) -> None:
        """Bring the device to that sequence, or beyond it. Raises `Unavailable` where it did not acknowledge it."""
        try:
            async with asyncio.timeout(ACKNOWLEDGE_WITHIN_S):
                while await self._push(device_id) < sequence:
                    pass
        except (TimeoutError, Refused, Malformed):
            raise Unavailable("The device did not take the access in time. Try again.") from None

    async def ask(self, device_id: str) -> AccessState:
        """What the device has and how often grants were used; noted. Raises `Unavailable`."""
        state = _state(await self._devices.request(device_id, _ASK, ACKNOWLEDGE_WITHIN_S))
        await self._note(device_id, state)
        return state

    async def attached(self, device_id: str, epoch: int) -> None:
        """The device has connected, and is of that epoch: tell it what it missed, or see what it has of its keys."""
        async with self._database.read() as connection:
            access = await key_store.find(connection, device_id)
            if access is None or access.epoch != epoch:
                return
            held = await key_store.held(connection, device_id, epoch)
        if access.is_behind:
            await self._tell_quietly(device_id)
        elif any(each.expires_at > self._clock() for each in held):
            await self.ask(device_id)

    async def run(self) -> None:
        """Tell connected devices what is due, at once after a change in this process, or soon after any other."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._look()
                except AdmittanceError as error:
                    log.warning("access_not_looked_up", error=error.code)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop telling devices; they are told again later."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _look(self) -> None:
        now = int(self._clock())
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return
        async with self._database.read() as connection:
            found = await key_store.due(connection, now, free)
        for each in found:
            again_at = now + min(AGAIN_AFTER_S << min(each.tries, 8), LONGEST_WAIT_S)
            async with self._database.transaction() as connection:
                is_mine = await key_store.claim(connection, each, again_at)
            if is_mine:
                task = asyncio.create_task(self._tell_quietly(each.device_id))
                self._under_way.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("access_push_failed", exc_info=task.exception())

    async def _tell_quietly(self, device_id: str) -> None:
        try:
            async with asyncio.timeout(ACKNOWLEDGE_WITHIN_S):
                await self._push(device_id)
        except (AdmittanceError, TimeoutError) as error:
            log.info("access_not_acknowledged", device_id=device_id, error=type(error).__name__)

    async def _push(self, device_id: str) -> int:
        """Tell the device what it lacks; gives the sequence that it has then. Raises `Unavailable`."""
        change = await self._change(device_id, whole=False)
        if isinstance(change, int):
            return change
        response = await self._devices.request(device_id, _post(change.push), ACKNOWLEDGE_WITHIN_S)
        if response.code == codes.CONFLICT and not change.is_whole:
            change = await self._change(device_id, whole=True)
            if isinstance(change, int):
                return change
            response = await self._devices.request(device_id, _post(change.push), ACKNOWLEDGE_WITHIN_S)
        return await self._note(device_id, _state(response))

    async def _change(self, device_id: str, *, whole: bool) -> "_Change | int":
        """What the device is to be told, or the sequence that it has if that is all there is."""
        async with self._database.read() as connection:
            access = await key_store.find(connection, device_id)
            record = await registry.find(connection, device_id)
            if access is None or record is None or record.epoch != access.epoch or record.state != "active":
                raise Unavailable("There is nothing to tell this device now.")
            if not access.is_behind:
                return access.acknowledged
            base = 0 if whole else access.acknowledged
            held = await key_store.held(connection, device_id, access.epoch)
            ended = await key_store.ended_after(connection, device_id, access.epoch, base) if base else []
            over = await key_store.ended_grants(connection, device_id, access.epoch, base)
        now = self._clock()
        keys = [each for each in held if each.added > base and each.expires_at > now]
        if len(ended) > MAX_ENDED:
            base, ended = 0, []
            keys = [each for each in held if each.expires_at > now]
        granted = tuple(self._granted(each) for each in keys[-MAX_KEYS:])
        push = AccessPush(access.epoch, base, access.sequence, granted, (*ended, *over)[:MAX_ENDED])
        return _Change(push, is_whole=base == 0)

    async def _note(self, device_id: str, state: AccessState) -> int:
        """Keep what a device told: what it has, and how often grants were used. Gives the sequence that counts."""
        now = self._clock()
        async with self._database.transaction() as connection:
            access = await key_store.find(connection, device_id, lock=True)
            if access is None or access.epoch != state.epoch:
                raise Unavailable("The device is of another epoch.")
            if state.sequence > access.sequence:
                await key_store.overtake(connection, access, state.sequence, int(now))
                log.warning("access_sequence_overtaken", device_id=device_id, sequence=state.sequence)
                return 0
            if state.sequence != access.acknowledged or access.due_at is not None:
                await key_store.acknowledge(connection, access, state.sequence, int(now))
            for use in state.used:
                more = await store.note_uses(connection, use.grant, device_id, use.used)
                if more:
                    await self._audit.append(
                        connection,
                        event="grant.used",
                        actor=f"device:{device_id}",
                        subject=subject_of(use.grant),
                        details={"uses": more},
                        now=now,
                    )
        return state.sequence

    def _granted(self, key: PossessionKey) -> GrantedKey:
        return GrantedKey(
            token=key.token,
            master_secret=self._envelope.open(key.sealed, key_context(key.token)),
            grant=key.grant_id,
            name=key.name,
            scope=key.permissions,
            not_before=key.not_before,
            expires_at=key.expires_at,
            uses=key.uses,
        )


def key_context(token: bytes) -> bytes:
    """Where a master secret is kept, for `Envelope`."""
    return b"possession-key|" + token


def _post(push: AccessPush) -> CoapMessage:
    options = (*path_options(PUSH_PATH), (CONTENT_FORMAT, encode_uint(CBOR)))
    return CoapMessage(codes.POST, options=options, payload=message.encode(push))


def _state(response: CoapMessage) -> AccessState:
    """Raises `Unavailable`."""
    if not codes.is_success(response.code):
        raise Unavailable(f"The device refused what it was told ({codes.text(response.code)}).")
    try:
        return message.decode(response.payload, AccessState)
    except Malformed:
        raise Unavailable("The device gave an answer that is none.") from None
