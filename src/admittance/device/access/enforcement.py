"""What possession keys allow, held against the trusted clock and the counts on the disk.

A device that heard no trusted time since power-up lets nobody do anything by a possession key. What a check found out
about the time is on the disk before it is told: no clock that is turned back opens a window again. A use is on the
disk before the actuation that it stands for: a power cut may cost it, and never gives it twice.
"""

from admittance.device.clock import TrustedClock
from admittance.device.log import Log
from admittance.device.state import Memory
from admittance.errors import AdmittanceError, NotFound, OutsideWindow, Refused, TimeUnknown, UsesSpent
from admittance.protocol.access.granted import GrantedAccess, check_window
from admittance.wire.access import AccessPush, AccessState, GrantedKey


class Enforcement:
    """The granted access in the memory. It is the dispatcher's `Rules`."""

    def __init__(self, memory: Memory, clock: TrustedClock, log: Log) -> None:
        self._memory = memory
        self._clock = clock
        self._log = log

    @property
    def granted(self) -> GrantedAccess:
        """That of the present epoch."""
        record = self._memory.record
        return record.access.of_epoch(record.epoch)

    @property
    def state(self) -> AccessState:
        """What the server is told."""
        return self.granted.state

    def take(self, push: AccessPush) -> None:
        """Take a push of the server's, on the disk when this returns. Raises what `GrantedAccess.take` raises."""
        granted = self.granted
        changed = granted.take(push, now=int(self._clock.now()))
        if changed is not granted:
            self._save(changed)
            self._log("access_changed", sequence=changed.sequence, keys=len(changed.keys))

    def find(self, token: bytes) -> GrantedKey:
        """The key that a token names. Raises `NotFound`."""
        try:
            return self.granted.find(token)
        except NotFound as error:
            self._log("access_refused", cause=error.code, token=token[:16].hex())
            raise

    def standing(self, key: GrantedKey) -> GrantedKey:
        """The key of an open channel as it stands now. Raises `NotFound` for one that was ended.

        One that was used up, or has ended by itself, stands: its holder is told why it opens nothing.
        """
        granted = self.granted
        try:
            return granted.find(key.token)
        except NotFound:
            if granted.is_spent(key) or (self._clock.trusted and self._clock.now() >= key.expires_at):
                return key
            raise

    def check(self, key: GrantedKey) -> None:
        """Raises `OutsideWindow`, `UsesSpent` or `TimeUnknown`."""
        try:
            self._check(key)
        except (OutsideWindow, UsesSpent, TimeUnknown) as error:
            self._refuse(key, error)
            raise

    def use(self, key: GrantedKey) -> None:
        """Count an actuation. Raises as `check`, and `QuotaExceeded`."""
        try:
            self._check(key)
            used = self.granted.use(key, now=int(self._clock.now()))
        except (Refused, TimeUnknown) as error:
            self._refuse(key, error)
            raise
        if key.uses:
            self._save(used)
        self._log("access_used", token=key.token.hex(), grant=key.grant.hex(), used=used.used(key.grant))

    def _save(self, changed: GrantedAccess) -> None:
        """Keep a change; the secret of a key that is gone with it is not left in the record before, either."""
        kept = {key.token for key in changed.keys}
        gone = any(key.token not in kept for key in self.granted.keys)
        self._memory.change(access=changed, time_floor=self._clock.floor())
        if gone:
            self._memory.forget_before()

    def _check(self, key: GrantedKey) -> None:
        if not self._clock.trusted:
            raise TimeUnknown("This device has not heard the time since it was switched on, and cannot tell.")
        if self.granted.is_spent(key):
            raise UsesSpent("This access was used as often as it allows.")
        now = self._clock.now()
        if now >= key.expires_at > self._memory.record.time_floor:
            self._memory.change(time_floor=self._clock.floor())
        check_window(key, now)

    def _refuse(self, key: GrantedKey, error: AdmittanceError) -> None:
        self._log("access_refused", cause=error.code, token=key.token.hex(), grant=key.grant.hex())
