"""The routing tables of our servers, composed from the configuration of those that run."""

from collections.abc import Iterable

from starlette.routing import Route

from admittance.server.app import build
from admittance.server.config import load_config
from admittance.server.guard import Guard
from admittance.server.listeners import Listener
from tests.attack import authority
from tests.attack.site import Site

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


async def routes_of_server(site: Site) -> dict[str, list[Route]]:
    """The routes of each listener of a site's server."""
    server = build(load_config(site.stage.config))
    found = {listener.name: routes_behind(listener) for secured in server._secured for listener in secured.listeners}
    await server.foundation.close()
    return found


def routes_behind(listener: Listener) -> list[Route]:
    """The routes behind a listener's guard."""
    assert isinstance(listener.application, Guard)
    routes: list[Route] = listener.application._application.routes
    assert all(isinstance(route, Route) for route in routes), "Mounts and others must be looked into, too."
    return routes


def named(listener: str, routes: Iterable[Route]) -> set[authority.Route]:
    """The routes as the table of authorities names them: HEAD goes with GET."""
    return {(listener, method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
