"""Tickets: 32 random bytes that let one device enrol for one account, once."""

import hmac


class TicketCodes:
    """How tickets are stored: HMAC-SHA256 under the keystore's key for codes."""

    def __init__(self, code_key: bytes) -> None:
        self._key = code_key

    def mac(self, ticket: bytes) -> bytes:
        return hmac.digest(self._key, b"admittance/ticket/1|" + ticket, "sha256")

    def request_mac(self, request: bytes) -> bytes:
        """Recognises the same activation request again without keeping it."""
        return hmac.digest(self._key, b"admittance/activation-request/1|" + request, "sha256")
