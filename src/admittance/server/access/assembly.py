"""Putting the authorization server together for the composition root."""

import hmac
from dataclasses import dataclass

from starlette.routing import Route

from admittance.server.access import model
from admittance.server.access.attested_clients import AttestationServices
from admittance.server.access.authorize import AUTHORIZE_PATH, AuthorizationEndpoint
from admittance.server.access.client_authentication import ClientAuthentication, Public, SecretBasic
from admittance.server.access.clients import Clients
from admittance.server.access.codes import Codes
from admittance.server.access.first_party import CHALLENGE_PATH, ChallengeEndpoint
from admittance.server.access.flows import Flows
from admittance.server.access.interaction import Interaction
from admittance.server.access.logins import Logins
from admittance.server.access.ports import DeviceTokens
from admittance.server.access.resources import Resources
from admittance.server.access.rfc6749 import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshGrant
from admittance.server.access.rfc7009 import REVOKE_PATH, RevocationEndpoint
from admittance.server.access.rfc7523 import PrivateKeyJwt
from admittance.server.access.rfc7662 import INTROSPECT_PATH, IntrospectionEndpoint
from admittance.server.access.rfc8414 import Metadata
from admittance.server.access.rfc8628 import (
    DEVICE_AUTHORIZATION_PATH,
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCodes,
)
from admittance.server.access.rfc8693 import TokenExchangeGrant
from admittance.server.access.rfc8705 import MutualTls, SelfSignedCertificate
from admittance.server.access.rfc9068 import AccessTokens
from admittance.server.access.rfc9126 import PAR_PATH, PushedRequests
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.sessions import Sessions
from admittance.server.access.token_endpoint import TOKENS_AT, Grant, TokenEndpoint
from admittance.server.accounts.service import AccountServices
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.foundation import Foundation
from admittance.server.keys.port import TokenKeyRing


@dataclass(frozen=True)
class Ground:
    """What the authorization server rests on. `origin` is the server's own, its issuer identifier."""

    database: Database
    clock: Clock
    audit: AuditLog
    origin: str
    code_key: bytes
    token_keys: TokenKeyRing
    access_token_ttl_s: int = 600
    session_ttl_s: int = 30 * 24 * 3600

    @property
    def mac_key(self) -> bytes:
        """Under which secrets of this package are stored."""
        return hmac.digest(self.code_key, b"admittance/access/1", "sha256")


@dataclass(frozen=True)
class LoginServices:
    """Logins and their tokens: what accounts need to know who asks."""

    tokens: AccessTokens
    sessions: Sessions


@dataclass(frozen=True)
class AccessServices:
    """The authorization server. `people_routes` are its endpoints, `mtls_routes` are those for certificates."""

    clients: Clients
    people_routes: tuple[Route, ...]
    mtls_routes: tuple[Route, ...]


def ground_of(foundation: Foundation) -> Ground:
    """The ground of a configured server."""
    config = foundation.config
    return Ground(
        database=foundation.database,
        clock=foundation.clock,
        audit=foundation.audit_log,
        origin=config.server.origin,
        code_key=foundation.keystore.code_key,
        token_keys=foundation.keystore.token_keys,
        access_token_ttl_s=config.access.access_token_ttl_s,
        session_ttl_s=config.access.session_ttl_s,
    )


def login_services(ground: Ground) -> LoginServices:
    """What `accounts` is built with."""
    tokens = AccessTokens(issuer=ground.origin, keys=ground.token_keys, ttl_s=ground.access_token_ttl_s)
    sessions = Sessions(
        database=ground.database,
        clock=ground.clock,
        audit=ground.audit,
        tokens=tokens,
        mac_key=ground.mac_key,
        ttl_s=ground.session_ttl_s,
    )
    return LoginServices(tokens, sessions)


def clients_of(ground: Ground) -> Clients:
    """The registered clients."""
    return Clients(database=ground.database, clock=ground.clock, audit=ground.audit, mac_key=ground.mac_key)


def build(
    ground: Ground,
    accounts: AccountServices,
    logins: LoginServices,
    *,
    device_tokens: DeviceTokens | None = None,
    attestation: AttestationServices | None = None,
    mutual_tls: MutualTls | None = None,
) -> AccessServices:
    """The endpoints.

    Args:
        device_tokens: who issues tokens for devices; None: this server issues none.
        attestation: lets attested clients prove themselves; None: no integrity service is trusted.
        mutual_tls: where clients prove themselves by certificates; None: nowhere.
    """
    database, clock = ground.database, ground.clock
    clients = clients_of(ground)
    resources = Resources(origin=ground.origin, clients=clients)
    proofs = Proofs(verifier=accounts.verifier, replays=accounts.replays, clock=clock)
    authentication = ClientAuthentication(
        clients,
        {
            "none": Public(),
            "client_secret_basic": SecretBasic(clients),
            "private_key_jwt": PrivateKeyJwt(
                issuer=ground.origin, database=database, clock=clock, replays=accounts.replays
            ),
            **({model.SELF_SIGNED: SelfSignedCertificate()} if mutual_tls else {}),
            **(attestation.methods if attestation else {}),
        },
    )
    tokens, sessions = logins.tokens, logins.sessions
    codes, device_codes = Codes(sessions=sessions, mac_key=ground.mac_key), DeviceCodes(mac_key=ground.mac_key)
    passwords = Logins(database=database, clock=clock, audit=ground.audit, passwords=accounts.passwords)
    grants: dict[str, Grant] = {
        model.AUTHORIZATION_CODE: AuthorizationCodeGrant(
            database=database, clock=clock, proofs=proofs, codes=codes, sessions=sessions
        ),
        model.REFRESH: RefreshGrant(database=database, clock=clock, proofs=proofs, sessions=sessions),
        model.CLIENT_CREDENTIALS: ClientCredentialsGrant(
            database=database, clock=clock, proofs=proofs, tokens=tokens, resources=resources
        ),
        model.DEVICE_CODE: DeviceCodeGrant(
            database=database, clock=clock, proofs=proofs, codes=device_codes, sessions=sessions
        ),
    }
    if device_tokens is not None:
        grants[model.EXCHANGE] = TokenExchangeGrant(
            database=database,
            clock=clock,
            proofs=proofs,
            sessions=sessions,
            resources=resources,
            device_tokens=device_tokens,
        )
    pushed = PushedRequests(
        database=database,
        clock=clock,
        authentication=authentication,
        proofs=proofs,
        resources=resources,
        mac_key=ground.mac_key,
    )
    flows = Flows(database=database, clock=clock, mac_key=ground.mac_key)
    authorize = AuthorizationEndpoint(
        issuer=ground.origin, clients=clients, resources=resources, pushed=pushed, flows=flows, codes=codes
    )
    for_certificates = {
        "token_endpoint": TOKENS_AT,
        "revocation_endpoint": REVOKE_PATH,
        "introspection_endpoint": INTROSPECT_PATH,
    }
    metadata = Metadata(
        issuer=ground.origin,
        keys=ground.token_keys,
        clock=clock,
        endpoints={
            "authorization_endpoint": AUTHORIZE_PATH,
            "pushed_authorization_request_endpoint": PAR_PATH,
            "device_authorization_endpoint": DEVICE_AUTHORIZATION_PATH,
            **for_certificates,
            "authorization_challenge_endpoint": CHALLENGE_PATH,
        },
        grants=tuple(grants),
        authentication=authentication.names,
        further={
            **(attestation.metadata if attestation else {}),
            **(mutual_tls.metadata(for_certificates) if mutual_tls else {}),
        },
    )
    endpoints = (
        metadata,
        authorize,
        Interaction(
            database=database,
            clock=clock,
            audit=ground.audit,
            accounts=accounts.accounts,
            clients=clients,
            logins=passwords,
            throttle=accounts.throttle,
            flows=flows,
            device_codes=device_codes,
            endpoint=authorize,
        ),
        pushed,
        DeviceAuthorizationEndpoint(
            database=database,
            clock=clock,
            authentication=authentication,
            proofs=proofs,
            codes=device_codes,
            resources=resources,
            origin=ground.origin,
        ),
        TokenEndpoint(authentication=authentication, proofs=proofs, grants=grants),
        ChallengeEndpoint(
            database=database,
            clock=clock,
            authentication=authentication,
            proofs=proofs,
            logins=passwords,
            codes=codes,
            resources=resources,
        ),
        RevocationEndpoint(
            database=database,
            clock=clock,
            audit=ground.audit,
            authentication=authentication,
            tokens=tokens,
            sessions=sessions,
        ),
        IntrospectionEndpoint(
            database=database, clock=clock, authentication=authentication, tokens=tokens, sessions=sessions
        ),
    )
    routes = [route for endpoint in endpoints for route in endpoint.routes()]
    return AccessServices(
        clients,
        people_routes=(*routes, *(attestation.people_routes if attestation else ())),
        mtls_routes=tuple(route for route in routes if route.path in for_certificates.values()),
    )
