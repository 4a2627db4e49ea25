"""Time-based one-time passwords (RFC 6238): six digits, SHA-1, 30 s, as authenticator apps make them.

A code is accepted once: the account's row keeps the latest accepted time step, and one conditional UPDATE raises it.
"""

import hmac

import pyotp
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.enrolment.factors import store
from admittance.server.keys.envelope import Envelope

STEP_S = 30
DIGITS = 6
SEED_CHARACTERS = 32
"""160 bits, more than the 128 that RFC 4226, section 4 (R6) asks for."""

DRIFT_STEPS = 1


class Totp:
    """Seeds lie under the envelope. `issuer` is how authenticator apps name this server."""

    def __init__(self, envelope: Envelope, issuer: str) -> None:
        self._envelope = envelope
        self._issuer = issuer

    async def begin(self, connection: AsyncConnection, account_id: str, email: str) -> str | None:
        """A fresh seed as otpauth URI, good once it was confirmed. None if the account has a confirmed one."""
        seed = pyotp.random_base32(SEED_CHARACTERS)
        sealed = self._envelope.seal(seed.encode(), _context(account_id))
        if not await store.put_seed(connection, account_id, sealed):
            return None
        return pyotp.TOTP(seed, digits=DIGITS, interval=STEP_S, name=email, issuer=self._issuer).provisioning_uri()

    async def confirm(self, connection: AsyncConnection, account_id: str, code: str, now: float) -> bool:
        """Confirm the fresh seed by its first code."""
        step = await self._step(connection, account_id, code, now)
        return step is not None and await store.use_step(connection, account_id, step, confirm_at=int(now))

    async def use(self, connection: AsyncConnection, account_id: str, code: str, now: float) -> bool:
        """Accept a code of this time step or a neighbour's, if no later or equal step was accepted before."""
        step = await self._step(connection, account_id, code, now)
        return step is not None and await store.use_step(connection, account_id, step)

    async def _step(self, connection: AsyncConnection, account_id: str, code: str, now: float) -> int | None:
        row = await store.find_seed(connection, account_id)
        typed = code.replace(" ", "")
        if row is None or len(typed) != DIGITS or not typed.isascii() or not typed.isdecimal():
            return None
        made = pyotp.TOTP(self._envelope.open(row.sealed, _context(account_id)).decode(), digits=DIGITS)
        current = int(now) // STEP_S
        steps = range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1)
        matching = [step for step in steps if hmac.compare_digest(made.generate_otp(step), typed)]
        return matching[-1] if matching else None


def _context(account_id: str) -> bytes:
    return b"admittance/totp/1|" + account_id.encode()
