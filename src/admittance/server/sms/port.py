"""The port behind which text messages leave the server."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Sms:
    """One message. `sms_id` stays the same over all tries; `number` is in E.164."""

    sms_id: str
    number: str = field(repr=False)
    text: str = field(repr=False)


class SmsProvider(Protocol):
    """Hands a message to whoever delivers it."""

    async def send(self, sms: Sms) -> None:
        """Return when the provider has taken responsibility.

        Raises:
            Rejected: refused for good.
            Unavailable: not now; try again later.
        """
        ...
