"""What the owner of a device is told by mail."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.accounts.store import find_by_id
from admittance.server.mail.outbox import enqueue

_FACTORS = {
    "": "none was asked for",
    "code": "an enrolment code",
    "totp": "a one-time password of your authenticator app",
    "sms": "a code by SMS",
    "approval": "your approval",
}


class OwnerMails:
    """Puts mails into the outbox, in the caller's transaction. `origin` is where the owner logs in."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    async def enrolled(
        self,
        connection: AsyncConnection,
        account_id: str,
        device_id: str,
        name: str,
        source: str,
        factor: str,
        now: float,
    ) -> None:
        """`factor` is the kind of second factor, or empty."""
        text = (
            f"Your device {name} ({device_id}) was enrolled and has a certificate now.\n\n"
            f"When: {_time(now)}\nFrom: {source}\nSecond factor: {_FACTORS[factor]}\n"
            f"Server: {self._origin}\n\n"
            "If this was not you, end its access at once:\n\n"
            f"    admit devices revoke {device_id}\n"
        )
        await self._send(connection, account_id, f"Device enrolled: {name}", text, now)

    async def approval_asked(
        self, connection: AsyncConnection, account_id: str, device_id: str, name: str, source: str, now: float
    ) -> None:
        text = (
            f"A device asks to be enrolled for your account: {name} ({device_id}).\n\n"
            f"When: {_time(now)}\nFrom: {source}\nServer: {self._origin}\n\n"
            "If it is yours and you are setting it up now:\n\n"
            f"    admit devices approve {device_id}\n\n"
            "If not:\n\n"
            f"    admit devices deny {device_id}\n"
        )
        await self._send(connection, account_id, f"Approve a device? {name}", text, now)

    async def revoked(
        self,
        connection: AsyncConnection,
        account_id: str,
        device_id: str,
        name: str,
        by: str,
        reason: str,
        now: float,
    ) -> None:
        text = (
            f"The access of your device {name} ({device_id}) was ended by {by}.\n\n"
            f"When: {_time(now)}\nReason: {reason}\nServer: {self._origin}\n"
        )
        await self._send(connection, account_id, f"Device revoked: {name}", text, now)

    async def _send(self, connection: AsyncConnection, account_id: str, subject: str, text: str, now: float) -> None:
        account = await find_by_id(connection, account_id)
        if account is not None:
            await enqueue(connection, account.email, subject, text, now)


def _time(now: float) -> str:
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
