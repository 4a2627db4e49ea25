"""Challenges and activations for the app."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import Malformed
from admittance.protocol.provisioning.network_secret import APP_KEY_BYTES, Network
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.networks import Networks
from admittance.server.activation.challenges import Challenges
from admittance.server.activation.model import ActivationRequest, Caller, ServerNetwork
from admittance.server.activation.service import ActivationService
from admittance.server.database import Database
from admittance.server.http import body, reply
from admittance.wire import base64url
from admittance.wire.enrolment import FactorKind

TRANSACTION_ID_BYTES = 16
MAX_EVIDENCE_CHARACTERS = 24 * 1024


class AskChallenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    purpose: Literal["provision"]
    device_id: str | None = None


class AppNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="mode", tag="app"):
    """The app manages the premises network; the server never learns it."""


class StoredNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="mode", tag="server"):
    """The server encrypts a stored network under the app's key."""

    name: str
    app_key: str

    def __repr__(self) -> str:
        return f"StoredNetwork(name={self.name!r})"


SecondFactorOf = Callable[[str, str], Awaitable[tuple[FactorKind, ...]]]


class AskActivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    challenge: str
    evidence: Annotated[str, msgspec.Meta(max_length=MAX_EVIDENCE_CHARACTERS)]
    binding: str
    transaction_id: str
    network: AppNetwork | StoredNetwork


def routes(
    *,
    authenticator: Authenticator,
    challenges: Challenges,
    activations: ActivationService,
    networks: Networks,
    database: Database,
    second_factor: SecondFactorOf,
) -> list[Route]:
    """`second_factor` tells which kinds an account's device may use, of which its enrolment needs one."""
    handlers = _Handlers(authenticator, challenges, activations, networks, database, second_factor)
    return [
        Route("/api/challenges", handlers.challenge, methods=["POST"]),
        Route("/api/activations", handlers.activate, methods=["POST"]),
    ]


class _Handlers:
    def __init__(
        self,
        authenticator: Authenticator,
        challenges: Challenges,
        activations: ActivationService,
        networks: Networks,
        database: Database,
        second_factor: SecondFactorOf,
    ) -> None:
        self._authenticator = authenticator
        self._challenges = challenges
        self._activations = activations
        self._networks = networks
        self._database = database
        self._second_factor = second_factor

    async def challenge(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        asked = await body(request, AskChallenge)
        issued = await self._challenges.issue(Caller(account.account_id, account.jkt), asked.device_id)
        return reply({"challenge": base64url.encode(issued.challenge), "expires_at": issued.expires_at}, status=201)

    async def activate(self, request: Request) -> Response:
        account = await self._authenticator.account(request, scope="activate")
        asked = await body(request, AskActivation)
        activation = await self._activations.activate(
            Caller(account.account_id, account.jkt), await self._decoded(account.account_id, asked)
        )
        return reply(
            {
                "device_id": activation.device_id,
                "purpose": activation.purpose,
                "epoch": activation.epoch,
                "sequence": activation.sequence,
                "sealed": base64url.encode(activation.sealed),
                "expires_at": activation.expires_at,
                "second_factor": await self._second_factor(account.account_id, activation.device_id),
            },
            status=201 if activation.is_new else 200,
        )

    async def _decoded(self, account_id: str, asked: AskActivation) -> ActivationRequest:
        name, network = "", None
        if isinstance(asked.network, StoredNetwork):
            name = asked.network.name
            network = await self._stored(account_id, asked.network)
        return ActivationRequest(
            challenge=base64url.decode(asked.challenge, length=32),
            evidence=base64url.decode(asked.evidence),
            binding=base64url.decode(asked.binding, length=32),
            transaction_id=base64url.decode(asked.transaction_id, length=TRANSACTION_ID_BYTES),
            network_name=name,
            network=network,
        )

    async def _stored(self, account_id: str, asked: StoredNetwork) -> ServerNetwork:
        app_key = base64url.decode(asked.app_key, length=APP_KEY_BYTES)
        if app_key == bytes(APP_KEY_BYTES):
            raise Malformed("The app key is not random.")
        async with self._database.read() as connection:
            stored = await self._networks.get(connection, account_id, asked.name)
        return ServerNetwork(Network(stored.ssid, stored.passphrase), app_key)
