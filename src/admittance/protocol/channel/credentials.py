"""A device's list of the credentials that it talks to, and who may change it.

The list is a value: each change gives a new one, which the device saves before it answers. `now` is Unix time by the
device's clock, which never goes back.

- The device itself lists an owner who stood before it, and the server of its sealed configuration.
- An owner adds owners, guests and recovery keys, and removes them; a recovery key adds owners and removes.
- An owner's countersigned admission adds a guest.
- One owner or recovery key remains, whatever is removed over a channel.
- What was removed is not admitted again: by an owner's channel, or at the device, it is.
"""

from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from admittance.errors import AlreadyUsed, Conflict, Expired, NotAllowed, NotFound, QuotaExceeded, WrongEpoch
from admittance.protocol.channel.admission import read_admission
from admittance.wire.channel import Credential, Entry
from admittance.wire.message import Message, Unsigned

MAX_ENTRIES: Final = 16
MAX_GUESTS: Final = 12
MAX_TOMBSTONES: Final = 32

_ADDED_BY = {"owner": {"owner", "guest", "recovery"}, "recovery": {"owner"}}
_REMOVED_BY = {"owner", "recovery"}
_LASTING = {"owner", "recovery", "server"}


class Listed(Message, frozen=True):
    """An entry with the admission that it came from.

    `serial` is empty for an entry that was added without one; `since` is when the admission was issued, or the entry
    added (Unix time): older admissions don't replace it.
    """

    entry: Entry
    serial: Annotated[bytes, Meta(max_length=16)]
    since: Unsigned


class Tombstone(Message, frozen=True):
    """A credential that was removed. No admission issued until `until` (Unix time) brings it back, nor any with its
    serial, nor any of its kid while the tombstone stands."""

    kid: Annotated[bytes, Meta(min_length=8, max_length=8)]
    serial: Annotated[bytes, Meta(max_length=16)]
    until: Unsigned


class CredentialList(Message, frozen=True):
    """The credentials of one epoch.

    Admissions issued until `admitted_since` (Unix time) are refused: it takes the place of the tombstones that no
    longer fit.
    """

    epoch: Unsigned = 0
    listed: Annotated[tuple[Listed, ...], Meta(max_length=MAX_ENTRIES)] = ()
    removed: Annotated[tuple[Tombstone, ...], Meta(max_length=MAX_TOMBSTONES)] = ()
    admitted_since: Unsigned = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(listed.entry for listed in self.listed)

    def find(self, kid: bytes, *, epoch: int, now: int) -> Entry:
        """The entry that may talk now. Raises `NotFound`, `WrongEpoch` and `Expired`."""
        listed = self._listed(kid)
        if listed is None:
            raise NotFound("There is no such credential.")
        if listed.entry.epoch != epoch or self.epoch != epoch:
            raise WrongEpoch("The credential is of another epoch.")
        if _is_expired(listed.entry, now):
            raise Expired("The credential has expired.")
        return listed.entry

    def add(self, entry: Entry, *, by: Entry | None = None, now: int) -> "CredentialList":
        """List `entry`, in place of an entry with the same key and role.

        `by` is who asked over a channel; None is the device itself, for whom the oldest guest, or else the oldest
        owner, gives way in a full list. Raises `NotAllowed`, `WrongEpoch`, `Expired`, `Conflict`, `QuotaExceeded`,
        and what `Credential.from_spki` raises.
        """
        if by is not None and entry.role not in _ADDED_BY.get(by.role, ()):
            raise NotAllowed(f"The role {by.role} may not add the role {entry.role}.")
        self._check(entry, now)
        since = max([now, *(stone.until for stone in self.removed if stone.kid == entry.kid)])
        roomy = self._without_expired(now)
        if by is None and roomy._is_full_for(entry):
            roomy = roomy._with_place(now)
        unburied = tuple(stone for stone in roomy.removed if stone.kid != entry.kid)
        return replace(roomy, removed=unburied)._with(Listed(entry, b"", since))

    def remove(self, kid: bytes, *, by: Entry, now: int) -> "CredentialList":
        """Remove an entry for good. Raises `NotFound`, `NotAllowed`, and `Conflict` if nobody could manage the device
        any more."""
        if by.role not in _REMOVED_BY:
            raise NotAllowed(f"The role {by.role} may not remove credentials.")
        listed = self._listed(kid)
        if listed is None:
            raise NotFound("There is no such credential.")
        if listed.entry.role == "server":
            raise NotAllowed("The server is listed by the device's configuration.")
        left = self._without(listed, now)
        if not any(entry.role in _REMOVED_BY for entry in left.entries):
            raise Conflict("This is the last credential that can manage the device: add another first.")
        return left

    def admit(self, data: bytes, *, device_id: str, now: int) -> "CredentialList":
        """List the guest of an admission; the same admission again changes nothing.

        Raises `Malformed`, `NotAllowed`, `SignatureInvalid`, `WrongDevice`, `WrongEpoch`, `Expired`, `AlreadyUsed`
        for an admission that was superseded or whose guest was removed, `Conflict`, and `QuotaExceeded`.
        """
        unverified = read_admission(data)
        try:
            owner = self.find(unverified.kid, epoch=self.epoch, now=now)
        except (NotFound, WrongEpoch, Expired) as error:
            raise NotAllowed("Only a listed owner admits somebody.") from error
        admission = unverified.verify(owner, device_id)
        entry = admission.entry
        self._check(entry, now)
        known = self._listed(entry.kid)
        if known is not None and known.serial == admission.serial:
            return self
        if self._is_spent(entry.kid, admission.serial, admission.issued_at):
            raise AlreadyUsed("The admission was replaced, or its guest removed: ask the owner for another.")
        return self._without_expired(now)._with(Listed(entry, admission.serial, admission.issued_at))

    def begin_epoch(self, epoch: int) -> "CredentialList":
        """The list of a new owner: empty. The current epoch changes nothing. Raises `WrongEpoch` for an earlier."""
        if epoch < self.epoch:
            raise WrongEpoch("The epoch is over.")
        return self if epoch == self.epoch else CredentialList(epoch)

    def end_epoch(self, epoch: int) -> "CredentialList":
        """Drop every entry of `epoch` and those before."""
        return replace(self, listed=tuple(listed for listed in self.listed if listed.entry.epoch > epoch))

    def _check(self, entry: Entry, now: int) -> None:
        """The rules that hold for every entry, whoever adds it."""
        Credential.from_spki(entry.spki)
        if entry.signing:
            Credential.from_spki(entry.signing)
        if entry.epoch != self.epoch:
            raise WrongEpoch("The entry is for another epoch.")
        if _is_expired(entry, now):
            raise Expired("The entry has expired already.")
        if entry.role in _LASTING and entry.expires_at:
            raise NotAllowed(f"A credential of the role {entry.role} does not expire: remove it instead.")
        if entry.role in ("guest", "server") and not entry.scope:
            raise NotAllowed(f"A credential of the role {entry.role} needs a scope.")
        if entry.role in ("owner", "recovery") and entry.scope:
            raise NotAllowed(f"The scope of the role {entry.role} is fixed.")
        if entry.role != "owner" and entry.signing:
            raise NotAllowed("Only owners countersign.")
        known = self._listed(entry.kid)
        if known is not None and known.entry.role != entry.role:
            raise Conflict("The credential is listed with another role: remove it first.")

    def _is_spent(self, kid: bytes, serial: bytes, issued_at: int) -> bool:
        known = self._listed(kid)
        return (
            issued_at <= self.admitted_since
            or any(serial == listed.serial for listed in self.listed)
            or any(kid == stone.kid or serial == stone.serial for stone in self.removed)
            or (known is not None and issued_at <= known.since)
        )

    def _listed(self, kid: bytes) -> Listed | None:
        return next((listed for listed in self.listed if listed.entry.kid == kid), None)

    def _is_full_for(self, entry: Entry) -> bool:
        replaced = any(_is_replaced(listed.entry, entry) for listed in self.listed)
        return len(self.listed) == MAX_ENTRIES and not replaced

    def _with(self, new: Listed) -> "CredentialList":
        others = tuple(listed for listed in self.listed if not _is_replaced(listed.entry, new.entry))
        guests = sum(listed.entry.role == "guest" for listed in others)
        if len(others) == MAX_ENTRIES or (new.entry.role == "guest" and guests == MAX_GUESTS):
            raise QuotaExceeded("The device's list of credentials is full: remove one first.")
        return replace(self, listed=(*others, new))

    def _with_place(self, now: int) -> "CredentialList":
        """A full list without its oldest guest, or else its oldest owner."""
        return self._without(next(self._by_dispensability()), now)

    def _by_dispensability(self) -> Iterator[Listed]:
        for role in ("guest", "owner", "recovery"):
            yield from sorted((listed for listed in self.listed if listed.entry.role == role), key=_since)

    def _without(self, gone: Listed, now: int) -> "CredentialList":
        stone = Tombstone(gone.entry.kid, gone.serial, max(now, gone.since))
        stones = (*self.removed, stone)
        overflow = stones[: max(0, len(stones) - MAX_TOMBSTONES)]
        since = max([self.admitted_since, *(old.until for old in overflow)])
        left = tuple(listed for listed in self.listed if listed is not gone)
        return replace(self, listed=left, removed=stones[len(overflow) :], admitted_since=since)

    def _without_expired(self, now: int) -> "CredentialList":
        """Without the entries that ended by themselves: their admissions are over for good, too."""
        return replace(self, listed=tuple(listed for listed in self.listed if not _is_expired(listed.entry, now)))


def _is_expired(entry: Entry, now: int) -> bool:
    return 0 < entry.expires_at <= now


def _is_replaced(old: Entry, new: Entry) -> bool:
    """A credential is listed once, and a device has one server."""
    return old.kid == new.kid or old.role == new.role == "server"


def _since(listed: Listed) -> int:
    return listed.since
