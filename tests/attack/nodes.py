"""The server processes of one site. Those on one PostgreSQL database are nodes of one server."""

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from admittance.demo.stage import Ports
from tests.attack.site import Site

ON_POSTGRESQL = pytest.mark.parametrize("at", ["postgresql"], indirect=True, scope="session")


@dataclass(frozen=True)
class Nodes:
    """`ports` has those of every node; the last is another process than the first where the database allows it."""

    first: Site
    ports: tuple[Ports, ...]
    people: httpx.AsyncClient
    first_contacts: tuple[httpx.AsyncClient, ...]

    @property
    def first_contact(self) -> httpx.AsyncClient:
        return self.first_contacts[-1]

    @property
    def device_port(self) -> int:
        return self.ports[-1].device


async def nodes_of(site: Site, folder: Path) -> Nodes:
    """The site's own process, and on PostgreSQL one more."""
    ports = [site.stage.ports]
    if site.database_url.startswith("postgresql"):
        ports.append((await site.second_node(folder)).ports)
    first_contacts = tuple(site.first_contact(each.first_contact) for each in ports)
    return Nodes(site, tuple(ports), site.people(ports[-1].people), first_contacts)
