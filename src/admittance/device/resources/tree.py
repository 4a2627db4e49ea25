"""The resources of a device by their paths."""

from collections.abc import Iterable
from typing import Final

from admittance.device.applications.application import Resource
from admittance.errors import NotAllowed, NotFound
from admittance.protocol.channel.scope import check_scope
from admittance.wire.access import Holder
from admittance.wire.coap import codes

CORE_PATH: Final = "/.well-known/core"
CODES: Final = {"GET": codes.GET, "POST": codes.POST, "PUT": codes.PUT, "DELETE": codes.DELETE, "FETCH": codes.FETCH}


class Tree:
    """A resource whose path ends in ``/*`` answers for what lies one segment below."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = {resource.path: resource for resource in resources}

    def find(self, path: str) -> Resource:
        """Raises `NotFound`."""
        parent = path.rpartition("/")[0]
        found = self._resources.get(path) or self._resources.get(f"{parent}/*")
        if found is None or path.endswith("/*"):
            raise NotFound(f"There is no {path} here.")
        return found

    def links(self, holder: Holder) -> bytes:
        """What `holder` may use, in CoRE link format (RFC 6690)."""
        shown = (self._resources[path] for path in sorted(self._resources) if not path.endswith("/*"))
        return ",".join(_link(resource) for resource in shown if _is_usable(resource, holder)).encode()


def _is_usable(resource: Resource, holder: Holder) -> bool:
    for method in resource.methods:
        try:
            check_scope(holder, CODES[method], resource.path)
        except NotAllowed:
            continue
        return True
    return False


def _link(resource: Resource) -> str:
    title = f';title="{resource.title}"' if resource.title else ""
    return f"<{resource.path}>{title}{';obs' if resource.observable else ''}"
