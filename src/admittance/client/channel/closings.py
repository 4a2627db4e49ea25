"""Why a stream through the relay ended, as errors that name cause and next step."""

from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    ChannelLost,
    DeviceOffline,
    Malformed,
    NotAllowed,
    QuotaExceeded,
    RelayBusy,
    TooLarge,
    WebSocketClosed,
)
from admittance.wire.relay import CloseCode, parse_retry_after

_ERRORS: dict[int, tuple[type[AdmittanceError], str]] = {
    CloseCode.NORMAL: (ChannelLost, "{device} ended the channel. Try again."),
    CloseCode.MALFORMED: (Malformed, "The relay did not understand this app. Use the same version on both sides."),
    CloseCode.NOT_AUTHENTICATED: (
        AuthenticationFailed,
        "The relay did not accept this login. Log in again: admit account login",
    ),
    CloseCode.REVOKED: (
        NotAllowed,
        "Access to {device} has ended: it was revoked, reset or given away, or this login was ended. "
        "Look at: admit devices show {device}",
    ),
    CloseCode.OFFLINE: (
        DeviceOffline,
        "{device} is not connected to the server now. Is it on, and its network up? In its own network, --local "
        "reaches it without the server.",
    ),
    CloseCode.IDLE: (ChannelLost, "The relay ended the channel, which was idle or too slow. Try again."),
    CloseCode.SUPERSEDED: (ChannelLost, "{device} connected anew and dropped this channel. Try again."),
    CloseCode.TOO_LARGE: (TooLarge, "The relay carries messages of at most 64 KiB. Send less at once."),
    CloseCode.QUOTA: (
        QuotaExceeded,
        "The relay's limit of streams or traffic is reached. Close other apps that talk to {device}, or wait.",
    ),
}
# Seconds to wait where the relay names none.
_BUSY_S = 1.0


def error_of_close(closed: WebSocketClosed, device_id: str) -> AdmittanceError:
    """The error that a close code stands for; for one that says nothing, that the channel was lost."""
    if closed.close_code == CloseCode.UNAVAILABLE:
        retry_after_ms = parse_retry_after(closed.reason)
        retry_after_s = _BUSY_S if retry_after_ms is None else retry_after_ms / 1000
        return RelayBusy(retry_after_s)
    kind, text = _ERRORS.get(closed.close_code, (ChannelLost, "The connection to the relay broke. Try again."))
    return kind(text.format(device=device_id))
