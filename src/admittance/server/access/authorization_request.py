"""What a client asks a person for (RFC 6749, section 4.1.1), read and checked once, wherever it came from."""

from collections.abc import Mapping

import msgspec

from admittance.errors import InvalidRequest, UnsupportedResponseType
from admittance.server.access import rfc7636, rfc8252
from admittance.server.access.form import Parameters, required
from admittance.server.access.model import AUTHORIZATION_CODE, Client
from admittance.server.access.resources import Resources
from admittance.server.access.scopes import allowed_scope
from admittance.wire import base64url

MAX_STATE_CHARACTERS = 1024


class Target(msgspec.Struct, frozen=True):
    """Where the answer goes. `given` is the redirect URI as the request gave it, empty if it did not."""

    redirect_uri: str
    given: str
    state: str | None


class AuthorizationRequest(msgspec.Struct, frozen=True, tag="authorization"):
    """A request that holds; `jkt` is the key that the code is bound to (RFC 9449, section 10)."""

    client_id: str
    target: Target
    scope: tuple[str, ...]
    audience: str
    code_challenge: str
    jkt: str | None


def read_target(parameters: Parameters, client: Client) -> Target:
    """Where the answer to a request goes; what fails here must not be answered by a redirect.

    Raises `InvalidRequest`.
    """
    if AUTHORIZATION_CODE not in client.grants:
        raise InvalidRequest("This client may not ask people for access.")
    given = parameters.get("redirect_uri")
    state = parameters.get("state")
    if state is not None and len(state) > MAX_STATE_CHARACTERS:
        raise InvalidRequest(f"The state has more than {MAX_STATE_CHARACTERS} characters.")
    return Target(rfc8252.choose(given, client.redirect_uris), given or "", state)


async def read_request(
    parameters: Parameters, client: Client, target: Target, resources: Resources, *, jkt: str | None = None
) -> AuthorizationRequest:
    """The rest of a request. `jkt` is of the DPoP proof that came with it, if one did.

    Raises:
        UnsupportedResponseType, InvalidScope, InvalidTarget, InvalidRequest: what is wrong with it.
    """
    if required(parameters, "response_type") != "code":
        raise UnsupportedResponseType("Only the response type code is served.")
    if parameters.get("response_mode", "query") != "query" or "request" in parameters:
        raise InvalidRequest("Neither other response modes nor request objects are served.")
    return AuthorizationRequest(
        client_id=client.client_id,
        target=target,
        scope=tuple(sorted(allowed_scope(parameters.get("scope"), client.scope))),
        audience=await resources.audience(parameters),
        code_challenge=rfc7636.challenge_of(parameters),
        jkt=_bound_key(parameters, jkt),
    )


def _bound_key(parameters: Mapping[str, str], proven: str | None) -> str | None:
    asked = parameters.get("dpop_jkt")
    if asked is not None:
        base64url.decode(asked, length=32)
    if asked is not None and proven is not None and asked != proven:
        raise InvalidRequest("dpop_jkt is not the key of the DPoP proof.")
    return asked or proven
