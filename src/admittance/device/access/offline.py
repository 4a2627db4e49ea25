"""Offline tokens at the device: the machine with the clock and the disk that it needs.

What has ended is on the disk before an answer goes out.
"""

from collections.abc import Callable

from admittance.device.clock import TrustedClock
from admittance.device.keys import load_private_key
from admittance.device.log import Log
from admittance.device.state import Memory
from admittance.errors import AdmittanceError, NotFound, OutsideWindow, Refused, TimeUnknown
from admittance.protocol.access.device_nonces import KEY_BYTES, DeviceNonces
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.access.offline_access import Instant, OfflineAccess
from admittance.protocol.access.offline_token import Audience
from admittance.wire.access import OfflineKey


class OfflineTokens:
    """For one life of the device."""

    def __init__(
        self,
        origin: str,
        device_id: str,
        memory: Memory,
        clock: TrustedClock,
        random: Callable[[int], bytes],
        log: Log,
    ) -> None:
        self._origin = origin
        self._device_id = device_id
        self._memory = memory
        self._clock = clock
        self._log = log
        self._nonces = DeviceNonces(random(KEY_BYTES))
        self._access = OfflineAccess(device_id, self._audience, self._nonces, memory.record.offline)

    def nonce(self) -> bytes:
        """A nonce for a token, where only that can tell that the token is fresh; else nothing."""
        return b"" if self._clock.trusted else self._nonces.make(self._clock.monotonic())

    def accept(self, token: bytes) -> OfflineKey:
        """The key of a token that is good now. Raises what `OfflineAccess.accept` raises."""
        try:
            key = self._access.accept(token, self._epoch, self._now())
        except AdmittanceError as error:
            self._log("access_refused", cause=error.code)
            raise
        self._keep()
        self._log("offline_token_taken", token=key.token.hex(), grant=key.grant.hex(), name=key.name)
        return key

    def standing(self, key: OfflineKey) -> OfflineKey:
        """The key of an open channel. Raises `NotFound` or `WrongEpoch` for one that was ended."""
        return self._access.standing(key, self._epoch)

    def check(self, key: OfflineKey) -> None:
        """Raises `OutsideWindow`, `NotFound` or `TimeUnknown`."""
        try:
            self._access.check(key, self._now())
        except (OutsideWindow, NotFound, TimeUnknown) as error:
            self._log("access_refused", cause=error.code, token=key.token.hex(), grant=key.grant.hex())
            raise

    def use(self, key: OfflineKey) -> None:
        """Note an actuation. Raises as `check`."""
        self.check(key)
        self._log("access_used", token=key.token.hex(), grant=key.grant.hex())

    def take_list(self, data: bytes) -> None:
        """Take a signed epoch list. Raises what `OfflineAccess.take_list` raises."""
        try:
            self._access.take_list(data, self._epoch)
        except Refused as error:
            self._log("epoch_list_refused", cause=error.code)
            raise
        self._keep()

    @property
    def _epoch(self) -> int:
        return self._memory.record.epoch

    def _now(self) -> Instant:
        return Instant(self._clock.monotonic(), self._clock.now(), self._clock.trusted)

    def _audience(self) -> Audience:
        record = self._memory.record
        return Audience(
            issuer=self._origin,
            audience=f"{self._origin}/d/{self._device_id}",
            token_keys=() if record.server is None else record.server.token_keys,
            access_key=load_private_key(record.keys.access),
        )

    def _keep(self) -> None:
        """Have on the disk what was learnt, before it is told to anybody."""
        self._clock.has_passed(self._access.floor)
        record, learnt = self._memory.record, self._access.record
        if learnt == record.offline and self._access.floor <= record.time_floor:
            return
        changes: dict[str, object] = {"offline": learnt, "time_floor": self._clock.floor()}
        if learnt.epoch > record.epoch:
            changes |= {"credentials": record.credentials.end_epoch(record.epoch), "access": GrantedAccess()}
            self._log("epoch_ended", epoch=record.epoch)
        self._memory.change(**changes)
