"""``POST /oauth/token`` (RFC 6749, section 3.2): authenticates the client and its key, and lets a grant decide."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import InvalidRequest, UnauthorizedClient, UnsupportedGrantType
from admittance.server.access.answers import answering
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.form import Parameters, form, required
from admittance.server.access.model import ProvenClient, TokenAnswer
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.scopes import show_scope
from admittance.server.accounts.dpop import VerifiedProof
from admittance.server.http import reply

TOKENS_AT = "/oauth/token"


class TokenRequest(Struct, frozen=True):
    """A request of a client that has proven itself. `proof` is checked, not yet spent."""

    parameters: Parameters
    proven: ProvenClient
    proof: VerifiedProof | None

    @property
    def jkt(self) -> str | None:
        return None if self.proof is None else self.proof.jkt


class Grant(Protocol):
    """One `grant_type`."""

    async def answer(self, request: TokenRequest) -> TokenAnswer | dict[str, Any]:
        """Tokens, or the whole content of another answer. Raises what is wrong with the request."""
        ...


class TokenEndpoint:
    """`grants` are by their `grant_type`."""

    def __init__(self, *, authentication: ClientAuthentication, proofs: Proofs, grants: Mapping[str, Grant]) -> None:
        self._authentication = authentication
        self._proofs = proofs
        self._grants = grants

    def routes(self) -> list[Route]:
        return [Route(TOKENS_AT, answering(self._token), methods=["POST"])]

    async def _token(self, request: Request) -> Response:
        parameters = await form(request)
        grant_type = required(parameters, "grant_type")
        proof = self._proofs.optional(request)
        proven = await self._authentication.client(request, parameters, proof=proof)
        grant = self._grants.get(grant_type)
        if grant is None:
            raise UnsupportedGrantType("This server has no such grant.")
        if grant_type not in proven.client.grants:
            raise UnauthorizedClient("The client is not registered for this grant.")
        if proof is not None and proven.client.x5t_s256 is not None:
            raise InvalidRequest("The client's tokens are bound to its certificate: send no DPoP proof.")
        if proven.client.is_public:
            proof = self._proofs.present(proof)
        answer = await grant.answer(TokenRequest(parameters, proven, proof))
        return reply(content_of(answer) if isinstance(answer, TokenAnswer) else answer)


def content_of(answer: TokenAnswer) -> dict[str, Any]:
    """RFC 6749, section 5.1."""
    content: dict[str, Any] = {
        "access_token": answer.access_token,
        "token_type": answer.token_type,
        "expires_in": answer.expires_in_s,
        "scope": show_scope(answer.scope),
    }
    if answer.refresh_token is not None:
        content["refresh_token"] = answer.refresh_token
    return content
