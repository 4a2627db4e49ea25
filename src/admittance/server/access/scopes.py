"""Scopes of access tokens (RFC 6749, section 3.3): what a login may be used for."""

import re
from collections.abc import Iterable

from admittance.errors import InvalidScope

DEVICES = "devices"
ACTIVATE = "activate"
SHARE = "share"
ACCOUNT = "account"
OPERATE = "operate"

SCOPES = {
    DEVICES: "see your devices and use them",
    ACTIVATE: "set up devices, approve, revoke and release them",
    SHARE: "let other people use your devices",
    ACCOUNT: "see and change your account, its networks and its second factors",
    OPERATE: "run this server as an operator",
}
"""Every scope that an account can allow, in the words that the person is asked with."""

NEVER_BY_DEVICE_GRANT = frozenset({ACTIVATE, SHARE, OPERATE})
"""A code that is read out to somebody must not set up devices or let people in."""

_MAX_SCOPES = 16
_NAME = r"[\x21\x23-\x5b\x5d-\x7e]{1,64}"
_SCOPE = re.compile(f"{_NAME}(?: {_NAME}){{0,{_MAX_SCOPES - 1}}}")


def parse_scope(text: str) -> frozenset[str]:
    """The scopes in a `scope` parameter. Raises `InvalidScope`."""
    if _SCOPE.fullmatch(text) is None:
        raise InvalidScope("The scope is malformed.")
    return frozenset(text.split(" "))


def show_scope(scope: Iterable[str]) -> str:
    """A `scope` parameter, in a stable order."""
    return " ".join(sorted(scope))


def allowed_scope(asked: str | None, registered: frozenset[str]) -> frozenset[str]:
    """What a client gets that asks for `asked`: nothing beyond what it is registered for. Raises `InvalidScope`."""
    scope = registered if asked is None else parse_scope(asked)
    if not scope or not scope <= registered:
        raise InvalidScope("The client is not registered for this scope.")
    return scope


def scope_of_account(scope: frozenset[str], *, operator: bool) -> frozenset[str]:
    """What is left of `scope` for an account: only operators operate. Raises `InvalidScope` if nothing is."""
    left = scope if operator else scope - {OPERATE}
    if not left:
        raise InvalidScope("Your account may not allow any of this.")
    return left
