"""What who talks to a device may do: roles first, then the scope of guests and of the server (RFC 9237)."""

from typing import Final

from admittance.errors import NotAllowed
from admittance.wire.access import Holder
from admittance.wire.channel import DELETE, FETCH, GET, POST, PUT
from admittance.wire.coap import codes
from admittance.wire.offline import EPOCH_LIST_PATH

SERVER_PATH: Final = "/server"
CREDENTIALS_PATH: Final = "/credentials"

_BITS = {codes.GET: GET, codes.POST: POST, codes.PUT: PUT, codes.DELETE: DELETE, codes.FETCH: FETCH}
_MANAGEMENT_PATHS = (CREDENTIALS_PATH, "/provisioning", "/consent")


def check_scope(holder: Holder, code: int, path: str) -> None:
    """Raises `NotAllowed` unless `holder` may call the method `code` on `path`.

    What lies below ``/server`` is the server's alone, and what manages the device is the owners' alone, whatever a
    scope says; recovery keys reach the list of credentials and nothing else. A signed epoch list may be brought by
    anybody.
    """
    if path == EPOCH_LIST_PATH:
        return
    if not _is_allowed(holder, code, path):
        raise NotAllowed("This credential may not do that.")


def is_for_guests(path: str) -> bool:
    """Whether a guest's scope may name that path, or pattern, to any effect."""
    named = path.removesuffix("/*")
    return not any(_is_below(named, reserved) for reserved in (SERVER_PATH, *_MANAGEMENT_PATHS))


def _is_allowed(holder: Holder, code: int, path: str) -> bool:
    if holder.role == "recovery":
        return _is_below(path, CREDENTIALS_PATH)
    if _is_below(path, SERVER_PATH) != (holder.role == "server"):
        return False
    if holder.role == "owner":
        return True
    if any(_is_below(path, managed) for managed in _MANAGEMENT_PATHS):
        return False
    return any(
        _covers(permission.path, path) and permission.methods & _BITS.get(code, 0) for permission in holder.scope
    )


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1])
    return path == pattern


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(f"{parent}/")
