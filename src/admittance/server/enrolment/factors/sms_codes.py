"""Codes by SMS: eight digits to the account's verified number, for one device (or app) at a time.

SMS is a restricted authenticator (NIST SP 800-63B-4, section 3.1.3.3): numbers are ported and messages intercepted.
"""

import hmac
import re
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed
from admittance.server.enrolment.factors import store
from admittance.server.enrolment.factors.model import CODE_TTL_S, TRIES
from admittance.server.keys.envelope import Envelope
from admittance.server.sms.outbox import SmsOutbox

DIGITS = 8
PAUSE_S = 30
SENT_PER_DEVICE, SENT_PER_ACCOUNT = 3, 10
SENT_WINDOW_S = 3600
PHONE = "phone"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_RANDOM_BYTES = 16


def normalise_number(text: str) -> str:
    """A number in E.164: ``+`` and 7 to 15 digits. Raises `Malformed`."""
    number = re.sub(r"[ ()./-]", "", text)
    if _NUMBER.fullmatch(number) is None:
        raise Malformed("Write the number with its country code, such as +49 170 1234567.")
    return number


class SmsCodes:
    """`key` is the keystore's key for codes; numbers lie under the envelope; `outbox` is None without a provider."""

    def __init__(
        self, *, key: bytes, envelope: Envelope, outbox: SmsOutbox | None, random: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._envelope = envelope
        self._outbox = outbox
        self._random = random

    @property
    def is_possible(self) -> bool:
        return self._outbox is not None

    async def number(self, connection: AsyncConnection, account_id: str) -> str | None:
        """The account's verified number."""
        row = await store.find_phone(connection, account_id)
        if row is None or row.sealed is None:
            return None
        return self._envelope.open(row.sealed, _context(account_id)).decode()

    async def send(
        self, connection: AsyncConnection, account_id: str, bound_to: str, purpose: str, now: float
    ) -> bool:
        """Send a code for `bound_to` to the verified number, in place of the one before it.

        False, and nothing sent, without a provider or number, or when there were too many lately.
        """
        number = await self.number(connection, account_id)
        return number is not None and await self._send(connection, account_id, number, bound_to, purpose, now)

    async def send_to_candidate(self, connection: AsyncConnection, account_id: str, number: str, now: float) -> bool:
        """Send a code to a number that is to become the account's."""
        await store.put_phone_candidate(
            connection, account_id, self._envelope.seal(number.encode(), _context(account_id))
        )
        return await self._send(connection, account_id, number, PHONE, "confirm this number", now)

    async def use(self, connection: AsyncConnection, account_id: str, bound_to: str, typed: str, now: float) -> bool:
        """Use up the code that was sent for `bound_to`; a wrong one costs one of its five tries."""
        if not await store.try_sms_code(connection, account_id, bound_to, TRIES, int(now)):
            return False
        mac = self._mac(account_id, bound_to, typed.replace(" ", ""))
        return await store.use_sms_code(connection, account_id, bound_to, mac, int(now))

    async def _send(
        self, connection: AsyncConnection, account_id: str, number: str, bound_to: str, purpose: str, now: float
    ) -> bool:
        if self._outbox is None:
            return False
        at = int(now)
        for bucket, limit, window_s in (
            (f"sms-pause:{account_id}:{bound_to}", 1, PAUSE_S),
            (f"sms-device:{account_id}:{bound_to}", SENT_PER_DEVICE, SENT_WINDOW_S),
            (f"sms-account:{account_id}", SENT_PER_ACCOUNT, SENT_WINDOW_S),
        ):
            if not await store.admit_try(connection, bucket, limit, window_s, at):
                return False
        code = f"{int.from_bytes(self._random(_RANDOM_BYTES)) % 10**DIGITS:0{DIGITS}}"
        mac = self._mac(account_id, bound_to, code)
        await store.put_sms_code(connection, account_id, bound_to, mac, at + CODE_TTL_S)
        minutes = CODE_TTL_S // 60
        text = f"Admittance: {code} is your code to {purpose}. Good for {minutes} minutes. Tell it to nobody."
        await self._outbox.enqueue(connection, number, text, now)
        return True

    def _mac(self, account_id: str, bound_to: str, code: str) -> bytes:
        return hmac.digest(self._key, f"admittance/sms-code/1|{account_id}|{bound_to}|{code}".encode(), "sha256")


def _context(account_id: str) -> bytes:
    return b"admittance/phone/1|" + account_id.encode()
