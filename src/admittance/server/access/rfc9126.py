"""Pushed authorization requests (RFC 9126): the client proves itself before a browser sees anything.

A `request_uri` is good once, for a minute, and for its client.
"""

import msgspec
from sqlalchemy import delete, insert
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import InvalidRequest, Malformed
from admittance.server.access.answers import answering
from admittance.server.access.authorization_request import AuthorizationRequest, read_request, read_target
from admittance.server.access.bound import Bound
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.form import form
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.tables import oauth_pushed_requests
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.http import reply

PAR_PATH = "/oauth/par"
REQUEST_TTL_S = 60
_URN = "urn:ietf:params:oauth:request_uri:"


class PushedRequests:
    """Keeps requests until a browser comes for them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        authentication: ClientAuthentication,
        proofs: Proofs,
        resources: Resources,
        mac_key: bytes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authentication = authentication
        self._proofs = proofs
        self._resources = resources
        self._hasher = SecretHasher(mac_key, "pushed-request")
        self._bound = Bound(oauth_pushed_requests)

    def routes(self) -> list[Route]:
        return [Route(PAR_PATH, answering(self._push), methods=["POST"])]

    async def take(self, request_uri: str, client_id: str) -> AuthorizationRequest:
        """Use a pushed request up. Raises `InvalidRequest`: unknown, used, expired, or another client's."""
        try:
            mac = self._hasher.mac(request_uri.removeprefix(_URN))
        except Malformed:
            raise InvalidRequest("The request is unknown, used or expired. Start again.") from None
        now = int(self._clock())
        columns = oauth_pushed_requests.c
        use_up = (
            delete(oauth_pushed_requests)
            .where(columns.request_mac == mac, columns.client_id == client_id, columns.expires_at > now)
            .returning(columns.parameters)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(use_up)).first()
        if row is None:
            raise InvalidRequest("The request is unknown, used or expired. Start again.")
        return msgspec.json.decode(row.parameters, type=AuthorizationRequest)

    async def _push(self, request: Request) -> Response:
        parameters = await form(request)
        if "request_uri" in parameters:
            raise InvalidRequest("A pushed request holds no request_uri.")
        proof = self._proofs.optional(request)
        client = (await self._authentication.client(request, parameters, proof=proof)).client
        target = read_target(parameters, client)
        jkt = None if proof is None else proof.jkt
        asked = await read_request(parameters, client, target, self._resources, jkt=jkt)
        secret, now = new_secret(), self._clock()
        values = {
            "request_mac": self._hasher.mac(secret),
            "client_id": client.client_id,
            "parameters": msgspec.json.encode(asked).decode(),
            "expires_at": int(now) + REQUEST_TTL_S,
        }
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, proof, now)
            await self._bound.take(connection, now)
            await connection.execute(insert(oauth_pushed_requests), values)
        return reply({"request_uri": _URN + secret, "expires_in": REQUEST_TTL_S}, status=201)
