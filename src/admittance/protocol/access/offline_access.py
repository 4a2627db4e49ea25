"""What a device lets in by offline tokens: a machine for one power-up, and the record that outlives it.

A device that knows the time checks ``exp`` and ``nbf``. One that doesn't takes only tokens that carry a nonce of its
own (``cnonce``), and counts ``exi`` on its monotonic clock from when it first saw the token (RFC 9200, section
5.10.3). What a signed message says of the time is a floor: a time that has certainly passed. So a clock that lags by
a second, as one that was told full seconds does, takes a token that was issued just now.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from msgspec import structs

from admittance.errors import Expired, NotFound, OutsideWindow, QuotaExceeded, TimeUnknown, WrongEpoch
from admittance.protocol.access.device_nonces import DeviceNonces
from admittance.protocol.access.epoch_list import verify_epoch_list
from admittance.protocol.access.offline_token import Audience, Standing, VerifiedToken, check_not_passed, verify
from admittance.protocol.access.offline_token import check_time as check_time_of
from admittance.wire.access import OfflineKey
from admittance.wire.message import Message, Unsigned

MAX_TOKENS: Final = 32


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time: on the monotonic clock, and as Unix time, which is but a lower bound unless `trusted`."""

    monotonic: float
    unix: float
    trusted: bool


class OfflineRecord(Message, frozen=True):
    """What the device remembers of what has ended.

    `epoch` is the highest that it was told of; offline tokens below `lowest_sequence` have ended in it. `seen` is the
    highest sequence of a token that was counted by ``exi``: after a power-up all up to it count as expired.
    """

    epoch: Unsigned = 0
    lowest_sequence: Unsigned = 0
    seen: Unsigned = 0

    def of_epoch(self, epoch: int) -> "OfflineRecord":
        """This, or nothing that has ended yet where a later epoch began."""
        return self if epoch <= self.epoch else OfflineRecord(epoch)


@dataclass(frozen=True, slots=True)
class _Accepted:
    token: VerifiedToken
    ends_at: float | None
    """On the monotonic clock, where that is counted."""


@dataclass
class OfflineAccess:
    """See the module. `record` is to be on the disk before an answer is given; `floor` is the latest Unix time that
    a signed message told of, which has certainly passed.

    `audience` is asked at each use, because a device learns the server's keys in its sealed configuration.
    """

    device_id: str
    audience: Callable[[], Audience]
    nonces: DeviceNonces
    record: OfflineRecord
    floor: int = 0
    _accepted: dict[bytes, _Accepted] = field(default_factory=dict)
    _expired: int = 0

    def __post_init__(self) -> None:
        self._expired = self.record.seen

    def begin_epoch(self, epoch: int) -> None:
        """The device is of this epoch: tokens of those before have ended."""
        record = self.record.of_epoch(epoch)
        if record is not self.record:
            self.record, self._expired = record, 0
            self._accepted.clear()

    def accept(self, data: bytes, epoch: int, at: Instant) -> OfflineKey:
        """The key of a token that is good at `at`, on a device of `epoch`.

        Raises what `verify` raises, and `TimeUnknown`, `WrongNonce`, `OutsideWindow`, `Expired` and `QuotaExceeded`.
        """
        self._check_epoch(epoch)
        token = verify(data, self.audience(), Standing(epoch, self.record.lowest_sequence))
        at = replace(at, unix=max(at.unix, token.issued_at))
        known = self._accepted.get(token.key.token)
        if known is None:
            known = self._first_seen(token, at)
        self._check(known, at)
        self.floor = max(self.floor, token.issued_at)
        self._accepted[token.key.token] = known
        return token.key

    def standing(self, key: OfflineKey, epoch: int) -> OfflineKey:
        """The key of an open channel, unless it was ended: then raises `NotFound` or `WrongEpoch`."""
        self._check_epoch(epoch)
        self._find(key)
        return key

    def check(self, key: OfflineKey, at: Instant) -> None:
        """Raises `OutsideWindow` unless `key` is good at `at`, and `NotFound` if it was ended."""
        try:
            self._check(self._find(key), at)
        except Expired as error:
            raise OutsideWindow("This access has ended.") from error

    def take_list(self, data: bytes, epoch: int) -> None:
        """Take a signed epoch list; one that tells nothing new changes nothing. Raises as `verify_epoch_list`."""
        told = verify_epoch_list(data, self.device_id, self.audience().token_keys)
        self.begin_epoch(epoch)
        self.begin_epoch(told.epoch)
        if told.epoch == self.record.epoch:
            lowest = max(self.record.lowest_sequence, told.lowest_sequence)
            self.record = structs.replace(self.record, lowest_sequence=lowest)
            self._accepted = {token: each for token, each in self._accepted.items() if each.token.sequence >= lowest}
        self.floor = max(self.floor, told.issued_at)

    def _find(self, key: OfflineKey) -> _Accepted:
        accepted = self._accepted.get(key.token)
        if accepted is None:
            raise NotFound("The token was ended.")
        return accepted

    def _check_epoch(self, epoch: int) -> None:
        self.begin_epoch(epoch)
        if epoch < self.record.epoch:
            raise WrongEpoch("The owner of this device has ended every access to it.")

    def _first_seen(self, token: VerifiedToken, at: Instant) -> _Accepted:
        """Make room for a token, and begin to count its time."""
        if token.exi_s is None:
            self._make_room(at)
            return _Accepted(token, None)
        self.nonces.check(token.cnonce, at.monotonic)
        if token.sequence <= self._expired:
            raise Expired("This token was used before, and has expired since.")
        self._make_room(at)
        self.record = structs.replace(self.record, seen=max(self.record.seen, token.sequence))
        return _Accepted(token, at.monotonic + token.exi_s)

    def _check(self, accepted: _Accepted, at: Instant) -> None:
        token = accepted.token
        if accepted.ends_at is not None and at.monotonic >= accepted.ends_at:
            raise Expired("This token has expired.")
        if at.trusted:
            check_time_of(token, at.unix)
            return
        check_not_passed(token, at.unix)
        if accepted.ends_at is None:
            raise TimeUnknown("This device has not heard the time: fetch a token with the nonce that it gives.")

    def _make_room(self, at: Instant) -> None:
        if len(self._accepted) < MAX_TOKENS:
            return
        for name, accepted in tuple(self._accepted.items()):
            try:
                self._check(accepted, at)
            except (Expired, OutsideWindow, TimeUnknown):
                del self._accepted[name]
                if accepted.ends_at is not None:
                    self._expired = max(self._expired, accepted.token.sequence)
        if len(self._accepted) >= MAX_TOKENS:
            raise QuotaExceeded(f"A device has at most {MAX_TOKENS} offline tokens in use.")
