"""``GET /oauth/authorize`` (RFC 6749, section 4.1): from the client's request to the pages, and back with a code."""

from collections.abc import Mapping
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AccessDenied, AdmittanceError, InvalidRequest, OAuthRefused
from admittance.server.access.answers import describe
from admittance.server.access.authorization_request import (
    AuthorizationRequest,
    Target,
    read_request,
    read_target,
)
from admittance.server.access.clients import Clients
from admittance.server.access.codes import CodeRequest, Codes
from admittance.server.access.flows import Flows, set_cookie
from admittance.server.access.form import Parameters, query, required
from admittance.server.access.model import Client
from admittance.server.access.pages import message, see_other
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9126 import PushedRequests

AUTHORIZE_PATH = "/oauth/authorize"
SIGN_IN_PATH = "/oauth/sign-in"
_NO_REQUEST = "The app asked for access in a way that this server does not accept"


class AuthorizationEndpoint:
    """Reads requests, and answers them once the pages have the person's decision.

    What is wrong before the redirect URI is known to be the client's is told to the person, and never by a redirect.
    """

    def __init__(
        self,
        *,
        issuer: str,
        clients: Clients,
        resources: Resources,
        pushed: PushedRequests,
        flows: Flows,
        codes: Codes,
    ) -> None:
        self._issuer = issuer
        self._clients = clients
        self._resources = resources
        self._pushed = pushed
        self._flows = flows
        self._codes = codes

    def routes(self) -> list[Route]:
        return [Route(AUTHORIZE_PATH, self._authorize, methods=["GET"])]

    async def allowed(
        self,
        connection: AsyncConnection,
        asked: AuthorizationRequest,
        *,
        account_id: str,
        scope: frozenset[str],
        now: float,
    ) -> str:
        """Where to go with the code for what the person allowed, in the transaction that ends the flow."""
        request = CodeRequest(
            client_id=asked.client_id,
            redirect_uri=asked.target.given,
            scope=scope,
            audience=asked.audience,
            code_challenge=asked.code_challenge,
            jkt=asked.jkt,
        )
        code = await self._codes.make(connection, request, account_id=account_id, now=now)
        return self._location(asked.target, {"code": code})

    def denied(self, asked: AuthorizationRequest) -> str:
        """Where to go when the person said no."""
        return self._refusal(asked.target, AccessDenied("The person said no."))

    async def _authorize(self, request: Request) -> Response:
        try:
            parameters = query(request)
            client = await self._clients.find(required(parameters, "client_id"))
            if client is None:
                raise InvalidRequest("The client is not registered.")
            if "request_uri" in parameters:
                asked = await self._pushed.take(parameters["request_uri"], client.client_id)
                return await self._begin(request, asked)
            if client.is_attested:
                raise InvalidRequest("This client must push its requests (RFC 9126).")
            target = read_target(parameters, client)
        except OAuthRefused as error:
            return message("This request is not valid", f"{_NO_REQUEST}: {error}", status=400)
        return await self._read(request, parameters, client, target)

    async def _read(self, request: Request, parameters: Parameters, client: Client, target: Target) -> Response:
        try:
            asked = await read_request(parameters, client, target, self._resources)
        except AdmittanceError as error:
            refusal = error if isinstance(error, OAuthRefused) else InvalidRequest(str(error))
            return see_other(self._refusal(target, refusal))
        return await self._begin(request, asked)

    async def _begin(self, request: Request, asked: AuthorizationRequest) -> Response:
        flow = await self._flows.begin(request, asked)
        return set_cookie(see_other(f"{SIGN_IN_PATH}?flow={flow.handle}"), flow)

    def _refusal(self, target: Target, error: OAuthRefused) -> str:
        return self._location(target, {"error": error.code, "error_description": describe(error)})

    def _location(self, target: Target, answer: Mapping[str, str]) -> str:
        """The redirect URI with an answer; `iss` tells clients of several servers whose it is (RFC 9207)."""
        state = {} if target.state is None else {"state": target.state}
        separator = "&" if "?" in target.redirect_uri else "?"
        return target.redirect_uri + separator + urlencode({**answer, **state, "iss": self._issuer})
