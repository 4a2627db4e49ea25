"""A provider over HTTP: one POST of JSON ``{"id", "to", "text"}`` a message, with a bearer token.

Gateways differ in their fields; a few lines of any proxy turn this form into theirs. `id` is the same over all tries,
and also the ``Idempotency-Key``.
"""

import ssl
from dataclasses import dataclass, field

import httpx

from admittance.errors import Unavailable
from admittance.server.outbox import Rejected
from admittance.server.sms.port import Sms

TIMEOUT_S = 20.0
_TRY_AGAIN = (408, 425, 429)


@dataclass(frozen=True)
class HttpGateway:
    """Where messages go. `trust` is None for the system's CAs."""

    url: str
    token: str = field(repr=False)
    trust: ssl.SSLContext | None = None


class HttpProvider:
    """One connection a message; messages are few."""

    def __init__(self, gateway: HttpGateway) -> None:
        self._gateway = gateway

    async def send(self, sms: Sms) -> None:
        """Raises `Rejected` or `Unavailable`; neither tells number or text."""
        gateway = self._gateway
        headers = {"authorization": f"Bearer {gateway.token}", "idempotency-key": sms.sms_id}
        content = {"id": sms.sms_id, "to": sms.number, "text": sms.text}
        try:
            async with httpx.AsyncClient(
                verify=gateway.trust or True, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
            ) as client:
                answer = await client.post(gateway.url, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"The SMS gateway could not be used: {type(error).__name__}.") from error
        if answer.is_success:
            return
        if 400 <= answer.status_code < 500 and answer.status_code not in _TRY_AGAIN:
            raise Rejected(f"The SMS gateway refused the message with status {answer.status_code}.")
        raise Unavailable(f"The SMS gateway did not take the message now (status {answer.status_code}).")
