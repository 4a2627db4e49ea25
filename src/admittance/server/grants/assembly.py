"""Putting grants together for the composition roots, on top of a relay node."""

import asyncio
from dataclasses import dataclass

from starlette.routing import Route

from admittance.server.access.ports import DeviceTokens
from admittance.server.accounts.service import AccountServices
from admittance.server.conversation.service import ConversationService
from admittance.server.foundation import Foundation
from admittance.server.grants import routes as grant_routes
from admittance.server.grants.ace import AceEndpoints
from admittance.server.grants.device_tokens import OnlineDeviceTokens
from admittance.server.grants.history import GrantHistory
from admittance.server.grants.mails import GuestMails
from admittance.server.grants.offline import DeviceTokensByModel, OfflineDeviceTokens
from admittance.server.grants.pushes import Pushes
from admittance.server.grants.service import Grants


@dataclass
class GrantServices:
    """`device_tokens` is what the authorization server asks for tokens at devices. `start` wants the conversations
    started."""

    grants: Grants
    device_tokens: DeviceTokens
    pushes: Pushes
    ace: AceEndpoints
    people_routes: tuple[Route, ...]
    _telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Keep devices told."""
        self._telling = asyncio.create_task(self.pushes.run())

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)


def build(foundation: Foundation, accounts: AccountServices, conversations: ConversationService) -> GrantServices:
    """Grants of one process; the conversations tell of devices that connect, and invites bring grants from now on."""
    database, audit, clock = foundation.database, foundation.audit_log, foundation.clock
    origin = foundation.config.server.origin
    grants = Grants(database=database, audit=audit, invites=accounts.invites, mails=GuestMails(origin), clock=clock)
    pushes = Pushes(database=database, audit=audit, envelope=foundation.envelope, devices=conversations, clock=clock)
    online = OnlineDeviceTokens(
        database=database, audit=audit, envelope=foundation.envelope, pushes=pushes, clock=clock
    )
    offline = OfflineDeviceTokens(
        origin=origin,
        key=foundation.keystore.device_token_key,
        database=database,
        audit=audit,
        envelope=foundation.envelope,
        clock=clock,
    )
    models = frozenset(name for name, model in foundation.config.models.items() if model.offline)
    tokens = DeviceTokensByModel(database=database, online=online, offline=offline, offline_models=models)
    ace = AceEndpoints(
        origin=origin,
        database=database,
        authenticator=accounts.authenticator,
        device_tokens=tokens,
        clock=clock,
    )
    accounts.invites.on_accepted = grants.accepted
    conversations.on_attached = pushes.attached
    return GrantServices(
        grants=grants,
        device_tokens=tokens,
        pushes=pushes,
        ace=ace,
        people_routes=(
            *ace.people_routes(),
            *grant_routes.routes(
                authenticator=accounts.authenticator,
                accounts=accounts.accounts,
                grants=grants,
                history=GrantHistory(database=database),
                clock=clock,
                origin=origin,
            ),
        ),
    )
