"""One listener's routes as an ASGI application."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from admittance.errors import AdmittanceError
from admittance.server import problems

_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def application(routes: Sequence[BaseRoute]) -> ASGIApp:
    """What is not exactly one of `routes` is not found."""
    made = Starlette(routes=routes, exception_handlers=problems.handlers())
    made.router.redirect_slashes = False
    return _FixedPaths(routes, made)


class _FixedPaths:
    """Looks up those of `routes` without parameters, which Starlette would try one by one; hands on all else."""

    def __init__(self, routes: Sequence[BaseRoute], others: ASGIApp) -> None:
        self.routes = list(routes)
        self._others = others
        self._endpoints: dict[tuple[str, str], _Endpoint] = {
            (method, route.path): route.endpoint
            for route in reversed(routes)
            if isinstance(route, Route) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._others(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except AdmittanceError as error:
            response = await problems.admittance_error(request, error)
        await response(scope, receive, send)
