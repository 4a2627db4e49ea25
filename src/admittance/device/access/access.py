"""Access by possession keys, whichever way they came: pushed by the server, or in an offline token."""

from typing import Final

from admittance.device.access.enforcement import Enforcement
from admittance.device.access.offline import OfflineTokens
from admittance.wire.access import GrantedKey, OfflineKey

REFERENCE_BYTES: Final = 16


class Access:
    """What a device's channels and its dispatcher ask: it is their `Possessors` and `Rules`."""

    def __init__(self, pushed: Enforcement, offline: OfflineTokens) -> None:
        self._pushed = pushed
        self._offline = offline

    def find(self, token: bytes) -> GrantedKey:
        """The key of a token, by reference or offline. Raises `Refused`, `Malformed` or `TimeUnknown`."""
        return self._pushed.find(token) if len(token) == REFERENCE_BYTES else self._offline.accept(token)

    def standing(self, key: GrantedKey) -> GrantedKey:
        """The key of an open channel as it stands now. Raises `Refused` for one that was ended."""
        return self._offline.standing(key) if isinstance(key, OfflineKey) else self._pushed.standing(key)

    def check(self, key: GrantedKey) -> None:
        """Raises `OutsideWindow`, `UsesSpent`, `NotFound` or `TimeUnknown`."""
        if isinstance(key, OfflineKey):
            self._offline.check(key)
        else:
            self._pushed.check(key)

    def use(self, key: GrantedKey) -> None:
        """Count an actuation. Raises as `check`, and `QuotaExceeded`."""
        if isinstance(key, OfflineKey):
            self._offline.use(key)
        else:
            self._pushed.use(key)
