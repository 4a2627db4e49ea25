"""Readings on their way to the server: collected, kept on the disk, and sent over the server's own conversation."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from admittance.device.clock import TrustedClock
from admittance.device.log import Log
from admittance.device.readings.spool import Spool
from admittance.device.state import Memory
from admittance.errors import AdmittanceError, Refused, Unavailable
from admittance.wire import message
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, encode_uint, path_options
from admittance.wire.readings import READINGS_PATH, Readings, ReadingsAccepted
from admittance.wire.senml import Record, Value

MOST_RECORDS: Final = 64
REFUSED_S: Final = 60.0

AskServer = Callable[[CoapMessage], Awaitable[CoapMessage]]
"""Sends a request on stream 0 once the server opened its channel there. Raises `Unavailable`."""


class ReadingsOutbox:
    """Takes readings that the owner agreed to, and sends them in batches, each until the server has it.

    A batch is closed after `batch_s` seconds or 64 readings.
    """

    def __init__(
        self, spool: Spool, memory: Memory, clock: TrustedClock, ask: AskServer, log: Log, *, batch_s: float
    ) -> None:
        self._spool = spool
        self._memory = memory
        self._clock = clock
        self._ask = ask
        self._log = log
        self._batch_s = batch_s
        self._consent = memory.record.consent
        self._collected: list[Record] = []
        self._full = asyncio.Event()

    def record(self, name: str, value: Value, unit: str) -> None:
        """Keep a reading if the owner agreed to its name."""
        self._follow_consent()
        if name not in self._consent:
            return
        self._collected.append(Record(name, value, unit, time=round(self._clock.now(), 3)))
        if len(self._collected) >= MOST_RECORDS:
            self._full.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._collect()
            while (batch := self._spool.oldest()) is not None:
                if not await self._send(*batch):
                    break

    async def _collect(self) -> None:
        """Wait for a batch, and put it on the disk."""
        try:
            async with asyncio.timeout(self._batch_s):
                await self._full.wait()
        except TimeoutError:
            pass
        self._full.clear()
        self._follow_consent()
        if self._collected:
            records, self._collected = self._collected, []
            self._spool.add(records)

    async def _send(self, number: int, pack: bytes) -> bool:
        """Whether to go on with the next batch."""
        try:
            if self._spool.is_fresh:
                known = _taken(await self._ask(CoapMessage(codes.GET, options=path_options(READINGS_PATH))))
                self._spool.continue_after(known.sequence)
                return True
            taken = _taken(await self._ask(self._request(number, pack)))
        except AdmittanceError as error:
            self._log("readings_not_sent", cause=error.code, waiting=len(self._spool))
            if isinstance(error, Refused):
                await asyncio.sleep(REFUSED_S)
            return False
        self._spool.accepted(max(number, taken.sequence))
        self._clock.set_server_time(taken.server_time)
        return True

    def _request(self, number: int, pack: bytes) -> CoapMessage:
        return CoapMessage(
            codes.POST,
            options=(*path_options(READINGS_PATH), (CONTENT_FORMAT, encode_uint(formats.CBOR))),
            payload=message.encode(Readings(number, int(self._clock.now()), pack)),
        )

    def _follow_consent(self) -> None:
        """Where the owner no longer agrees to a name, forget what waits."""
        consent = self._memory.record.consent
        if set(self._consent) - set(consent):
            self._collected.clear()
            self._spool.clear()
        self._consent = consent


def _taken(answer: CoapMessage) -> ReadingsAccepted:
    if codes.is_success(answer.code):
        return message.decode(answer.payload, ReadingsAccepted)
    if answer.code >> 5 == 4:
        raise Refused(f"The server refused the readings ({codes.text(answer.code)}).")
    raise Unavailable(f"The server cannot take readings now ({codes.text(answer.code)}).")
