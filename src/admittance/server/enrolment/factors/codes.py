"""Enrolment codes: eight symbols that a person carries from an enrolled device, or the owner's app, to a new one."""

import hmac
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed, Throttled
from admittance.server.enrolment.factors import store
from admittance.server.enrolment.factors.model import CODE_TTL_S, MadeCode
from admittance.wire import crockford

CODE_BYTES = 5
MOST_OPEN = 5


class EnrolmentCodes:
    """`key` is the keystore's key for codes; `random` gives n random bytes."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    async def make(self, connection: AsyncConnection, account_id: str, made_by: str, now: float) -> MadeCode:
        """A code (40 random bits) for one enrolment of the account's within `CODE_TTL_S`.

        Raises `Throttled` when whoever asks has `MOST_OPEN` open codes already.
        """
        if await store.open_codes(connection, account_id, made_by, int(now)) >= MOST_OPEN:
            raise Throttled(CODE_TTL_S)
        code = crockford.encode(self._random(CODE_BYTES))
        expires_at = int(now) + CODE_TTL_S
        await store.add_code(connection, self._mac(account_id, code), account_id, made_by, expires_at)
        return MadeCode(f"{code[:4]}-{code[4:]}", expires_at)

    async def use(self, connection: AsyncConnection, account_id: str, bound_to: str, typed: str, now: float) -> bool:
        """Use up the account's open code that somebody typed; it belongs to the first identity that brings it."""
        try:
            code = crockford.normalise(typed)
        except Malformed:
            return False
        return await store.use_code(connection, self._mac(account_id, code), account_id, bound_to, int(now))

    def _mac(self, account_id: str, code: str) -> bytes:
        return hmac.digest(self._key, f"admittance/enrolment-code/1|{account_id}|{code}".encode(), "sha256")
