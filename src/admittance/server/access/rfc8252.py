"""Redirect URIs: compared character by character (RFC 9700, section 2.1), but for the port of a loopback address
(RFC 8252, section 7.3)."""

import re
from urllib.parse import urlsplit

from admittance.errors import InvalidRequest, Malformed

_LOOPBACK_URI = re.compile(r"http://(127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(/[\x21-\x7e]*)?")
_HTTPS_URI = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[\x21-\x7e]*)?")
_PRIVATE_URI = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[\x21-\x7e]*")
_UNSAFE = re.compile(r"[\"'<>\\^`{|}#;,]")
MAX_CHARACTERS = 512


def check_registered(uri: str) -> str:
    """A redirect URI that an operator may register.

    ``https://host/path``, ``http://127.0.0.1/path`` or ``http://[::1]/path`` (native apps, any port), or a private
    scheme with a dot, such as ``org.example.app:/callback``. Raises `Malformed`.
    """
    forms = (_LOOPBACK_URI, _HTTPS_URI, _PRIVATE_URI)
    if len(uri) > MAX_CHARACTERS or _UNSAFE.search(uri) or not any(form.fullmatch(uri) for form in forms):
        raise Malformed(
            f"{uri!r} is no redirect URI: use https://host/path, http://127.0.0.1/path, or a scheme of the app's own "
            "with a dot in it; no fragment."
        )
    return uri


def choose(asked: str | None, registered: tuple[str, ...]) -> str:
    """The redirect URI of a request; without one, the client's only one. Raises `InvalidRequest`."""
    if asked is None:
        if len(registered) == 1:
            return registered[0]
        raise InvalidRequest("The parameter redirect_uri is missing.")
    if asked in registered or _without_port(asked) in map(_without_port, registered):
        return asked
    raise InvalidRequest("The redirect_uri is not registered for this client.")


def form_action(uri: str) -> str:
    """The source that a page's `form-action` must name, so that its form's answer may lead to a redirect URI."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _without_port(uri: str) -> str:
    match = _LOOPBACK_URI.fullmatch(uri) if not _UNSAFE.search(uri) else None
    if match is None:
        return uri
    if match[2] is not None and int(match[2]) > 65535:
        return uri
    return f"http://{match[1]}:*{match[3] or ''}"
