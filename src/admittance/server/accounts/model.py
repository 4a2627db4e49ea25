"""Values of accounts, invites and logins."""

import re
from dataclasses import dataclass

from admittance.errors import Malformed

MAX_EMAIL_CHARACTERS = 254
MAX_DISPLAY_NAME_CHARACTERS = 64
_EMAIL = re.compile(r"[^\s@<>\"(),:;\[\]\\\x00-\x1f\x7f]{1,64}@[^\s@<>\"(),:;\[\]\\\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True)
class Account:
    """A person's login. `quota` is how many devices the account may own at once."""

    account_id: str
    email: str
    display_name: str
    operator: bool
    quota: int
    created_at: int


@dataclass(frozen=True)
class AuthenticatedAccount:
    """Who sent a request, proven by a token and the key it is bound to (`jkt`, RFC 9449 section 6).

    `client_id` is the client that the account let in, `scope` what for, `session_id` the login. `attested_until` is
    the Unix time until which the client's app is attested, None if it is not.
    """

    account_id: str
    email: str
    operator: bool
    jkt: str
    client_id: str
    scope: frozenset[str]
    session_id: str
    attested_until: int | None


@dataclass(frozen=True)
class Invite:
    """A new invite. `secret` is in no store; it exists only here and in the link."""

    secret: str
    email: str
    operator: bool
    expires_at: int

    def link(self, origin: str) -> str:
        """The link to hand to the invited person; the secret sits in the fragment, so no server logs it."""
        return f"{origin}/invite#{self.secret}"


@dataclass(frozen=True)
class LivingSession:
    """A login that has not ended. `session_id` is what its ending is told by. `attested_until` is the Unix time until
    which its app is attested, None if it is not."""

    account_id: str
    jkt: str
    session_id: str
    scope: frozenset[str]
    expires_at: int
    attested_until: int | None


def normalise_email(email: str) -> str:
    """The form in which an address is stored and compared: trimmed, lower case.

    Raises:
        Malformed: not an address, or longer than 254 characters.
    """
    normalised = email.strip().lower()
    if len(normalised) > MAX_EMAIL_CHARACTERS or _EMAIL.fullmatch(normalised) is None:
        raise Malformed("That is not an email address.")
    return normalised


def normalise_display_name(name: str) -> str:
    """Trim a display name.

    Raises:
        Malformed: empty, longer than 64 characters, or with characters that do not print.
    """
    normalised = " ".join(name.split())
    if not normalised or len(normalised) > MAX_DISPLAY_NAME_CHARACTERS or not normalised.isprintable():
        raise Malformed("A display name has 1 to 64 printable characters.")
    return normalised
