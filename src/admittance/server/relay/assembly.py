"""Putting a relay node together for the composition roots: the whole server, and a node alone."""

from dataclasses import dataclass

from starlette.routing import Route

from admittance.server.accounts.service import AccountServices
from admittance.server.bus.opening import open_bus
from admittance.server.bus.port import Bus
from admittance.server.conversation import assembly as conversation_services
from admittance.server.conversation.assembly import ConversationServices
from admittance.server.database import Database
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.foundation import Foundation, open_database
from admittance.server.grants import assembly as grant_services
from admittance.server.grants.assembly import GrantServices
from admittance.server.readings import routes as reading_routes
from admittance.server.relay.authentication import AppProofs, DeviceAccess, DeviceProofs
from admittance.server.relay.capture import Capture
from admittance.server.relay.cluster import Cluster
from admittance.server.relay.node import RelayNode
from admittance.server.relay.routes import TicketRoutes, status_routes
from admittance.server.relay.serving import RelayListeners
from admittance.server.relay.settings import RelaySettings
from admittance.server.relay.tickets import Tickets
from admittance.server.revocations.feed import EndingsFeed, announce_endings


@dataclass(frozen=True)
class RelayServices:
    """A relay node among others, and what belongs to it. `endings_database` is for the endings alone."""

    node: RelayNode
    listeners: RelayListeners
    bus: Bus
    cluster: Cluster
    endings: EndingsFeed
    endings_database: Database
    conversing: ConversationServices
    granting: GrantServices
    tickets: Tickets
    people_routes: tuple[Route, ...]

    async def start(self) -> None:
        """Join the other nodes and accept connections, on addresses that are bound. Raises `Unavailable`."""
        await self.bus.start()
        await self.cluster.start(self.node)
        await self.endings.start()
        await self.conversing.conversations.start()
        await self.granting.start()
        await self.listeners.start()

    async def stop(self) -> None:
        """Send everybody elsewhere and leave. Whatever was started ends, though `start` failed half-way."""
        await self.listeners.stop()
        await self.granting.stop()
        await self.conversing.conversations.close()
        await self.cluster.close()
        await self.endings.close()
        await self.bus.close()
        await self.endings_database.close()


def build(foundation: Foundation, accounts: AccountServices, capture: Capture | None = None) -> RelayServices:
    """A node that is not started. Raises `ConfigurationError` for a ``[bus]`` that can't be used."""
    config, keys = foundation.config, foundation.keystore
    database, audit, clock = foundation.database, foundation.audit_log, foundation.clock
    tickets = Tickets(database=database, key=keys.code_key, clock=clock)
    access = DeviceAccess(database=database, clock=clock)
    node = RelayNode(
        RelaySettings.of(config),
        devices=DeviceProofs(
            database=database,
            audit=audit,
            sightings=Sightings(audit=audit, alert=OwnerMails(config.server.origin).appeared),
            issuer=keys.issuing_ca.certificate,
            clock=clock,
        ),
        apps=AppProofs(
            database=database,
            verifier=accounts.verifier,
            replays=accounts.replays,
            sessions=accounts.sessions,
            tickets=tickets,
            access=access,
            clock=clock,
        ),
        clock=clock,
        capture=capture,
    )
    bus = open_bus(config)
    cluster = Cluster(database=database, bus=bus, clock=clock)
    endings_database = open_database(config)
    endings = EndingsFeed(database=endings_database, bus=bus)
    announce_endings(database, bus)
    conversing = conversation_services.build(foundation, bus, cluster.node_id)
    granting = grant_services.build(foundation, accounts, conversing.conversations)
    node.directory = node.arrivals = cluster
    node.conversations = conversing.conversations
    endings.listen(node)
    ticket_routes = TicketRoutes(
        authenticator=accounts.authenticator,
        tickets=tickets,
        access=access,
        urls=config.app_relay_urls,
    )
    return RelayServices(
        node=node,
        listeners=RelayListeners(node, config.listen),
        bus=bus,
        cluster=cluster,
        endings=endings,
        endings_database=endings_database,
        conversing=conversing,
        granting=granting,
        tickets=tickets,
        people_routes=(
            *ticket_routes.routes(),
            *status_routes(accounts.authenticator, node),
            *reading_routes.routes(authenticator=accounts.authenticator, readings=conversing.readings),
            *granting.people_routes,
        ),
    )
