"""Actions: what a grant allows, in the words of people, ``PUT /lock``, and as devices know it (AIF, RFC 9237)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from admittance.errors import Malformed
from admittance.protocol.channel.scope import is_for_guests
from admittance.wire.channel import DELETE, FETCH, GET, MAX_PERMISSIONS, POST, PUT, Permission

MAX_ACTIONS: Final = 64

_BITS: Final = {"GET": GET, "POST": POST, "PUT": PUT, "DELETE": DELETE, "FETCH": FETCH}


def permissions_of(actions: Iterable[str]) -> tuple[Permission, ...]:
    """One permission for each path, in the order of paths.

    Raises `Malformed` for what is no action, for paths that are not a guest's, and for none or too many.
    """
    methods: dict[str, int] = {}
    for action in actions:
        method, path = _parts(action)
        methods[path] = methods.get(path, 0) | _BITS[method]
    if not 0 < len(methods) <= MAX_PERMISSIONS:
        raise Malformed(f"Name actions on 1 to {MAX_PERMISSIONS} paths of a device.")
    return tuple(_permission(path, bits) for path, bits in sorted(methods.items()))


def actions_of(permissions: Iterable[Permission]) -> tuple[str, ...]:
    """The other way; in the order of paths."""
    return tuple(
        f"{method} {each.path}" for each in permissions for method, bit in _BITS.items() if each.methods & bit
    )


def covers(granted: Iterable[Permission], asked: Iterable[Permission]) -> bool:
    """Whether all that is asked for is granted. A pattern covers what lies below it, and patterns below it."""
    given = tuple(granted)
    return all(_covered(given, each) for each in asked)


def _covered(granted: tuple[Permission, ...], asked: Permission) -> bool:
    methods = 0
    for each in granted:
        if each.path == asked.path or (each.path.endswith("/*") and asked.path.startswith(each.path[:-1])):
            methods |= each.methods
    return asked.methods & ~methods == 0


def _parts(action: str) -> tuple[str, str]:
    method, _, path = action.partition(" ")
    if method not in _BITS:
        raise Malformed(f"An action is a method, one of {', '.join(_BITS)}, and a path, such as: PUT /lock")
    if not path.isprintable() or " " in path or "?" in path or "#" in path:
        raise Malformed("An action's path has printable characters, and neither spaces nor a query.")
    if not is_for_guests(path):
        raise Malformed("What manages a device can't be granted.")
    return method, path


def _permission(path: str, methods: int) -> Permission:
    try:
        return msgspec.convert([path, methods], Permission)
    except msgspec.ValidationError:
        raise Malformed("An action's path begins with / and has at most 128 characters.") from None
