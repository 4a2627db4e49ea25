"""Who the client is (RFC 6749, section 2.3): a registry of methods, each a small class.

A request shows exactly one method, and it must be the one that the client is registered with. Unknown clients and
wrong proofs look the same.
"""

from binascii import a2b_base64
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote_plus

from starlette.requests import Request

from admittance.errors import InvalidClient, InvalidRequest
from admittance.server.access.clients import Clients
from admittance.server.access.form import Parameters
from admittance.server.access.model import Claim, Client, ProvenClient
from admittance.server.accounts.dpop import VerifiedProof

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ATTESTED = "attest_jwt_client_auth_dpop"
_FAILED = "The client is unknown, or its authentication does not hold."


class Method(Protocol):
    """One way for a client to prove itself."""

    def claim(self, request: Request, parameters: Parameters) -> Claim | None:
        """What a request claims by this method; None if it does not use it. Raises `InvalidClient`."""
        ...

    async def prove(
        self, request: Request, claim: Claim, client: Client | None, proof: VerifiedProof | None
    ) -> int | None:
        """Check the proof of a client, which is None if there is no such client.

        Returns the Unix time until which its app is attested, where it is.
        Raises `InvalidClient`, or the method's own errors.
        """
        ...


class ClientAuthentication:
    """Finds the one method that a request uses, and lets it decide. `methods` are by their name (RFC 7591)."""

    def __init__(self, clients: Clients, methods: Mapping[str, Method]) -> None:
        self._clients = clients
        self._methods = methods

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, for the metadata."""
        return tuple(self._methods)

    async def client(
        self, request: Request, parameters: Parameters, *, proof: VerifiedProof | None = None
    ) -> ProvenClient:
        """The client of a request.

        Raises:
            InvalidClient: no method, several, an unknown client, or a proof that does not hold.
            InvalidRequest: `client_id` is another than the proven one.
        """
        used = {
            name: claim
            for name, method in self._methods.items()
            if (claim := method.claim(request, parameters)) is not None
        }
        if len(used) > 1:
            used.pop("none", None)
        if len(used) != 1:
            raise InvalidClient(_FAILED)
        ((name, claim),) = used.items()
        if parameters.get("client_id", claim.client_id) != claim.client_id:
            raise InvalidRequest("client_id is not the client that authenticates.")
        found = await self._clients.find(claim.client_id)
        client = found if found is not None and name in (found.authentication, _also_by(found)) else None
        attested_until = await self._methods[name].prove(request, claim, client, proof)
        if client is None:
            raise InvalidClient(_FAILED)
        return ProvenClient(client, attested_until)


class Public:
    """``none``: the client says who it is; a proof of possession, PKCE and its redirect URI stand in for a secret."""

    def claim(self, _request: Request, parameters: Parameters) -> Claim | None:
        client_id = parameters.get("client_id")
        return None if client_id is None else Claim(client_id)

    async def prove(
        self, _request: Request, _claim: Claim, _client: Client | None, _proof: VerifiedProof | None
    ) -> int | None:
        return None


class SecretBasic:
    """``client_secret_basic`` (RFC 6749, section 2.3.1): id and secret, form-encoded, in HTTP Basic."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def claim(self, request: Request, _parameters: Parameters) -> Claim | None:
        headers = request.headers.getlist("authorization")
        return _basic(headers) if headers else None

    async def prove(
        self, _request: Request, claim: Claim, client: Client | None, _proof: VerifiedProof | None
    ) -> int | None:
        if not self._clients.holds_secret(client, claim.shown):
            raise InvalidClient(_FAILED)
        return None


def _also_by(client: Client) -> str | None:
    """What a client may prove itself by, too: a public app may show its attestation, an attested one must."""
    return ATTESTED if client.authentication == "none" else None


def _basic(headers: list[str]) -> Claim:
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) != 1 or scheme.lower() != "basic":
        raise InvalidClient(_FAILED)
    try:
        name, separator, secret = a2b_base64(encoded, strict_mode=True).decode("ascii").partition(":")
        if not separator:
            raise InvalidClient(_FAILED)
        return Claim(unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict"))
    except ValueError:
        raise InvalidClient(_FAILED) from None
