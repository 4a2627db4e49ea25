"""Resources that every device has: who it is, whom it talks to, what it may tell the server.

========================== =========================================================================
``/info``                  GET: a map of device id, model, firmware, epoch and uptime
``/credentials``           GET: the list ``[[kid, role, name, expires_at], …]``; POST: add an `Entry`
``/credentials/<kid>``     DELETE: remove the credential with that id (16 hexadecimal digits)
``/consent``               GET and PUT: the `Consent` to readings
``/provisioning``          POST: open the access point
``/server/ended``          POST, by the server alone: an `EndedNotice`
========================== =========================================================================
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from admittance.device.applications import Content, Method, Request
from admittance.device.applications.application import Handler, Resource
from admittance.device.clock import TrustedClock
from admittance.device.log import Log
from admittance.device.state import Memory
from admittance.errors import Malformed
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.channel.scope import CREDENTIALS_PATH
from admittance.wire import message
from admittance.wire.channel import KID_BYTES, Entry
from admittance.wire.coap import codes, formats
from admittance.wire.readings import CONSENT_PATH, ENDED_PATH, Consent, EndedNotice

INFO_PATH: Final = "/info"
PROVISIONING_PATH: Final = "/provisioning"


@dataclass(frozen=True)
class Facts:
    """What ``/info`` tells that does not change."""

    device_id: str
    model: str
    firmware: str


class BuiltIn:
    """See the module. `open_access_point` opens provisioning, as the button does."""

    def __init__(
        self,
        facts: Facts,
        memory: Memory,
        clock: TrustedClock,
        log: Log,
        open_access_point: Callable[[], Awaitable[None]],
    ) -> None:
        self._facts = facts
        self._memory = memory
        self._clock = clock
        self._log = log
        self._open_access_point = open_access_point
        self._started = clock.monotonic()

    def resources(self) -> tuple[Resource, ...]:
        return (
            _resource(INFO_PATH, self._info, "GET"),
            _resource(CREDENTIALS_PATH, self._credentials, "GET", "POST"),
            _resource(f"{CREDENTIALS_PATH}/*", self._remove, "DELETE"),
            _resource(CONSENT_PATH, self._consent, "GET", "PUT"),
            _resource(PROVISIONING_PATH, self._provision, "POST"),
            _resource(ENDED_PATH, self._end, "POST"),
        )

    async def _info(self, _request: Request) -> Content:
        facts = self._facts
        return Content.cbor(
            {
                "device_id": facts.device_id,
                "model": facts.model,
                "firmware": facts.firmware,
                "epoch": self._memory.record.epoch,
                "uptime_s": int(self._clock.monotonic() - self._started),
            }
        )

    async def _credentials(self, request: Request) -> Content:
        if request.method == "POST":
            return self._add(request)
        entries = self._memory.record.credentials.entries
        return Content.cbor([[entry.kid, entry.role, entry.name, entry.expires_at] for entry in entries])

    def _add(self, request: Request) -> Content:
        entry = message.decode(request.payload, Entry)
        listed = self._memory.record.credentials
        by = self._by(request)
        self._memory.change(credentials=listed.add(entry, by=by, now=self._now()))
        self._log("credential_added", role=entry.role, kid=entry.kid.hex(), by=by.kid.hex())
        return Content(code=codes.CREATED)

    async def _remove(self, request: Request) -> Content:
        kid = _kid(request.path.rpartition("/")[2])
        listed = self._memory.record.credentials
        by = self._by(request)
        self._memory.change(credentials=listed.remove(kid, by=by, now=self._now()))
        self._log("credential_removed", kid=kid.hex(), by=by.kid.hex())
        return Content()

    async def _consent(self, request: Request) -> Content:
        if request.method == "PUT":
            consent = message.decode(request.payload, Consent)
            self._memory.change(consent=tuple(consent.readings))
            self._log("consent_changed", readings=len(consent.readings))
        return Content(message.encode(Consent(list(self._memory.record.consent))), formats.CBOR)

    async def _provision(self, _request: Request) -> Content:
        await self._open_access_point()
        return Content()

    async def _end(self, request: Request) -> Content:
        notice = message.decode(request.payload, EndedNotice)
        record = self._memory.record
        access = record.access if record.access.epoch > notice.epoch else GrantedAccess()
        self._memory.change(credentials=record.credentials.end_epoch(notice.epoch), access=access)
        self._log("epoch_ended", epoch=notice.epoch)
        return Content()

    def _by(self, request: Request) -> Entry:
        """The caller's entry as it is now."""
        record = self._memory.record
        return record.credentials.find(request.caller.kid, epoch=record.epoch, now=self._now())

    def _now(self) -> int:
        return int(self._clock.now())


def _resource(path: str, handler: Handler, *methods: Method) -> Resource:
    return Resource(path, handler, frozenset(methods), observable=False, title="")


def _kid(text: str) -> bytes:
    try:
        kid = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed("The id of a credential has 16 hexadecimal digits.") from error
    if len(kid) != KID_BYTES or text != kid.hex():
        raise Malformed("The id of a credential has 16 hexadecimal digits.")
    return kid
