"""Putting a relay node together for the composition roots: the whole server, and a node alone."""

from dataclasses import dataclass

from starlette.routing import Route

from admittance.server.accounts.service import AccountServices
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.foundation import Foundation
from admittance.server.relay.authentication import AppProofs, DeviceProofs, OwnerAccess
from admittance.server.relay.capture import Capture
from admittance.server.relay.node import RelayNode
from admittance.server.relay.routes import TicketRoutes, status_routes
from admittance.server.relay.settings import RelaySettings
from admittance.server.relay.tickets import Tickets


@dataclass(frozen=True)
class RelayServices:
    """A node that is not started, and what people's apps ask of it over HTTP."""

    node: RelayNode
    people_routes: tuple[Route, ...]


def build(foundation: Foundation, accounts: AccountServices, capture: Capture | None = None) -> RelayServices:
    """One node."""
    config, keys = foundation.config, foundation.keystore
    database, audit, clock = foundation.database, foundation.audit_log, foundation.clock
    tickets = Tickets(database=database, key=keys.code_key, clock=clock)
    access = OwnerAccess(database=database, clock=clock)
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
            tokens=accounts.tokens,
            tickets=tickets,
            access=access,
            clock=clock,
        ),
        clock=clock,
        capture=capture,
    )
    ticket_routes = TicketRoutes(
        database=database,
        authenticator=accounts.authenticator,
        tokens=accounts.tokens,
        tickets=tickets,
        access=access,
        urls=config.app_relay_urls,
        clock=clock,
    )
    return RelayServices(node, (*ticket_routes.routes(), *status_routes(accounts.authenticator, node)))
