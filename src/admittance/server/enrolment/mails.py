"""What the owner of a device is told by mail."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.accounts.store import find_by_id
from admittance.server.devices.model import DeviceRecord
from admittance.server.mail.outbox import enqueue

_PLACES = {
    "activation": "somebody tried to claim it",
    "enrolment": "it asked for a certificate",
    "device": "it used the server",
    "session": "it opened a TPM session",
}

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

    async def appeared(
        self, connection: AsyncConnection, record: DeviceRecord, place: str, source: str, now: float
    ) -> None:
        """A device that was reported lost or stolen proved itself at `place`."""
        text = (
            f"Your device {record.device_id}, which you reported {record.reported}, has appeared.\n\n"
            f"When: {_time(now)}\nWhere: {_PLACES.get(place, place)}\nFrom: {source}\nServer: {self._origin}\n\n"
            "If you have it again:\n\n"
            f"    admit devices found {record.device_id}\n"
        )
        await self._to_owner(connection, record, f"Your {record.reported} device appeared", text, now)

    async def release_announced(self, connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
        text = (
            f"The operator of the server is about to release your device {record.device_id}. It is not yours "
            f"afterwards, and whoever stands before it can claim it.\n\n"
            f"When: {_time(record.release_at or now)}\nServer: {self._origin}\n\n"
            "If you want to keep it, say so before:\n\n"
            f"    admit devices keep {record.device_id}\n"
        )
        await self._to_owner(connection, record, "Your device is about to be released", text, now)

    async def released(self, connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
        text = (
            f"The operator of the server released your device {record.device_id}, as announced. Its access has "
            f"ended, and it is not yours any more.\n\nWhen: {_time(now)}\nServer: {self._origin}\n"
        )
        await self._to_owner(connection, record, "Your device was released", text, now)

    async def decommissioned(
        self, connection: AsyncConnection, record: DeviceRecord, reason: str, now: float
    ) -> None:
        text = (
            f"The operator of the server ended your device {record.device_id} for good.\n\n"
            f"When: {_time(now)}\nReason: {reason}\nServer: {self._origin}\n"
        )
        await self._to_owner(connection, record, "Your device was decommissioned", text, now)

    async def _to_owner(
        self, connection: AsyncConnection, record: DeviceRecord, subject: str, text: str, now: float
    ) -> None:
        if record.account_id is not None:
            await self._send(connection, record.account_id, subject, text, now)

    async def _send(self, connection: AsyncConnection, account_id: str, subject: str, text: str, now: float) -> None:
        account = await find_by_id(connection, account_id)
        if account is not None:
            await enqueue(connection, account.email, subject, text, now)


def _time(now: float) -> str:
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
