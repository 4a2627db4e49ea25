"""The pages of the authorization server: HTML without scripts, every value escaped, that no other site can frame."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

from starlette.responses import Response

from admittance.server.access.scopes import SCOPES

_WEB = files("admittance") / "web"
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {form_action}"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Page:
    """A template in ``web``; `show` fills it."""

    def __init__(self, name: str) -> None:
        self._template = Template(_WEB.joinpath(name).read_text(encoding="utf-8"))

    def show(self, *, status: int = 200, form_action: str = "'self'", items: str = "", **values: str) -> Response:
        """The page with `values`, which are escaped here; `items` is markup that was made here already."""
        escaped = {name: escape(value, quote=True) for name, value in values.items()}
        content = self._template.substitute(escaped, items=items)
        headers = {**_HEADERS, "content-security-policy": _POLICY.format(form_action=form_action)}
        return Response(content, status_code=status, media_type="text/html", headers=headers)


SIGN_IN = Page("oauth-sign-in.html")
CONSENT = Page("oauth-consent.html")
DEVICE_CODE = Page("oauth-device-code.html")
MESSAGE = Page("oauth-message.html")


def message(title: str, text: str, *, status: int = 200) -> Response:
    """A page that says something and asks for nothing."""
    return MESSAGE.show(status=status, form_action="'none'", title=title, text=text)


def scope_items(scope: Iterable[str]) -> str:
    """A list's items: what each scope allows, in words."""
    return "".join(f"<li>{escape(SCOPES.get(name, name), quote=True)}</li>" for name in sorted(scope))


def see_other(location: str) -> Response:
    """Go on by a GET (RFC 9700, section 4.12): a password is never posted on."""
    return Response(status_code=303, headers={"location": location, **_HEADERS})
