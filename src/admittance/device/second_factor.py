"""The second factor that stands between a device and its certificate. It is in memory only, and used once."""

import asyncio
from typing import Final

from admittance.errors import ServerRefused
from admittance.wire.enrolment import Factor

REQUIRED: Final = "factor_required"
REFUSED: Final = "factor_refused"
PENDING: Final = "approval_pending"
_ASK_AGAIN: Final = frozenset({"expired", "already_used"})
WAITING: Final = frozenset({REQUIRED, REFUSED, PENDING})


class SecondFactor:
    """What the server wants, and what a person gave. `cause` is empty, or one of `WAITING`."""

    def __init__(self) -> None:
        self._given: Factor | None = None
        self._was_given = asyncio.Event()
        self.kinds: tuple[str, ...] = ()
        self.cause = ""

    @property
    def given(self) -> Factor | None:
        return self._given

    def give(self, factor: Factor) -> None:
        """A person typed it in; whoever waits goes on at once."""
        self._given = factor
        self.cause = ""
        self._was_given.set()

    def answered(self, refusal: ServerRefused | None, sent: Factor | None, *, after_login: bool = False) -> None:
        """Note how the server answered a request with what was `sent`: None for a certificate. After a login it says
        only that something was wrong.

        What was given is kept where the request as such was too old, and where it was given after the request.
        """
        if refusal is not None and (refusal.reason in _ASK_AGAIN or self._given not in (None, sent)):
            return
        self._given = None
        if refusal is None:
            self.cause, self.kinds = "", ()
        elif after_login:
            self.cause = REFUSED
        elif refusal.reason in WAITING:
            self.cause, self.kinds = refusal.reason, refusal.factors or self.kinds

    async def given_within(self, seconds: float) -> None:
        """Return when something was given, or after that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._was_given.wait()
        except TimeoutError:
            return
        self._was_given.clear()
