"""The page that accepts an invite. The secret is in the link's fragment; only the page's script sees it."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_WEB = files("admittance") / "web"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_FILES = {
    "/invite": ("invite.html", "text/html"),
    "/static/invite.js": ("static/invite.js", "text/javascript"),
    "/static/page.css": ("static/page.css", "text/css"),
}


def routes() -> list[Route]:
    return [_route(path, name, media_type) for path, (name, media_type) in _FILES.items()]


def _route(path: str, name: str, media_type: str) -> Route:
    content = _WEB.joinpath(name).read_bytes()

    async def page(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return Route(path, page, methods=["GET"])
