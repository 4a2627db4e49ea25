"""``POST /oauth/authorize-challenge``: our own app asks for the password itself.

After draft-ietf-oauth-first-party-apps-02. It answers with an authorization code, which the token endpoint takes like
any other; all other clients send people to the browser.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AccessDenied, UnauthorizedClient
from admittance.server.access import rfc7636
from admittance.server.access.answers import answering
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.codes import CodeRequest, Codes
from admittance.server.access.form import form, required
from admittance.server.access.logins import Logins
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.scopes import allowed_scope, scope_of_account
from admittance.server.accounts.throttle import source_of
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.http import reply

CHALLENGE_PATH = "/oauth/authorize-challenge"


class ChallengeEndpoint:
    """Codes for passwords, bound to the key of the request's DPoP proof."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        authentication: ClientAuthentication,
        proofs: Proofs,
        logins: Logins,
        codes: Codes,
        resources: Resources,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authentication = authentication
        self._proofs = proofs
        self._logins = logins
        self._codes = codes
        self._resources = resources

    def routes(self) -> list[Route]:
        return [Route(CHALLENGE_PATH, answering(self._challenge), methods=["POST"])]

    async def _challenge(self, request: Request) -> Response:
        parameters = await form(request)
        proof = self._proofs.required(request)
        client = (await self._authentication.client(request, parameters, proof=proof)).client
        if not client.first_party:
            raise UnauthorizedClient("Only the server's own app may ask for the password; use /oauth/authorize.")
        scope = allowed_scope(parameters.get("scope"), client.scope)
        challenge = rfc7636.challenge_of(parameters)
        audience = await self._resources.audience(parameters)
        person = await self._logins.check(
            email=required(parameters, "username"),
            password=required(parameters, "password"),
            source=source_of(request),
        )
        if person is None:
            raise AccessDenied("The address or the password is wrong.")
        asked = CodeRequest(
            client_id=client.client_id,
            redirect_uri="",
            scope=scope_of_account(scope, operator=person.operator),
            audience=audience,
            code_challenge=challenge,
            jkt=proof.jkt,
        )
        now = self._clock()
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, proof, now)
            await self._logins.forgive(connection, person, source=source_of(request))
            code = await self._codes.make(connection, asked, account_id=person.account_id, now=now)
        return reply({"authorization_code": code})
