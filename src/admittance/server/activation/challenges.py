"""Challenges: 32 random bytes, good for one activation by the account and key that asked."""

from collections.abc import Callable

from admittance.errors import AlreadyUsed, Expired, NotFound
from admittance.server.activation import store
from admittance.server.activation.model import (
    CHALLENGE_BYTES,
    CHALLENGE_TTL_S,
    PROVISION,
    Caller,
    IssuedChallenge,
)
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.wire.device_id import check_device_id

_FORGET_EVERY_S = 60


class Challenges:
    """Hands out challenges. `random` gives n random bytes."""

    def __init__(self, *, database: Database, clock: Clock, random: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._forgot_at = 0.0

    async def issue(self, caller: Caller, device_id: str | None) -> IssuedChallenge:
        """A challenge for `caller`; with `device_id` it is good for that device only."""
        if device_id is not None:
            check_device_id(device_id)
        now = self._clock()
        challenge = IssuedChallenge(self._random(CHALLENGE_BYTES), int(now) + CHALLENGE_TTL_S)
        async with self._database.transaction() as connection:
            if now - self._forgot_at >= _FORGET_EVERY_S:
                self._forgot_at = now
                await store.forget_challenges(connection, int(now) - CHALLENGE_TTL_S)
            await store.add_challenge(
                connection, challenge.challenge, caller, PROVISION, device_id, challenge.expires_at
            )
        return challenge

    async def require(self, caller: Caller, challenge: bytes, device_id: str) -> None:
        """Check that `challenge` is the caller's own, open, and bound to `device_id`; it is not used up.

        Raises `NotFound`, `Expired` or `AlreadyUsed`.
        """
        async with self._database.read() as connection:
            row = await store.find_challenge(connection, challenge)
        if row is None or (row.account_id, row.jkt, row.device_id) != (caller.account_id, caller.jkt, device_id):
            raise NotFound("There is no such challenge for this device: scan its setup code again.")
        if row.used_at is not None:
            raise AlreadyUsed("This challenge was used before: start again.")
        if row.expires_at <= self._clock():
            raise Expired("This challenge is older than 15 minutes: start again.")
