"""For whom a token is (RFC 8707): this server, or a resource that a registered client serves."""

from admittance.errors import InvalidTarget
from admittance.server.access.clients import Clients
from admittance.server.access.form import Parameters


class Resources:
    """`origin` is the server's own, the audience where a request names no resource."""

    def __init__(self, *, origin: str, clients: Clients) -> None:
        self._origin = origin
        self._clients = clients

    async def audience(self, parameters: Parameters) -> str:
        """The audience of the token asked for.

        Raises `InvalidTarget` for an unknown resource, and for a device: its tokens come by token exchange.
        """
        resource = parameters.get("resource", self._origin)
        if resource != self._origin and not await self._clients.serves(resource):
            raise InvalidTarget("There is no such resource; tokens for devices come by token exchange.")
        return resource

    def device_id(self, resource: str) -> str:
        """The device that a resource names, ``<origin>/d/<device id>``. Raises `InvalidTarget`."""
        prefix = f"{self._origin}/d/"
        device_id = resource.removeprefix(prefix)
        if not resource.startswith(prefix) or not device_id or "/" in device_id:
            raise InvalidTarget("The resource is no device of this server.")
        return device_id
