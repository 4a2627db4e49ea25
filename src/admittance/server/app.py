"""The composition root: every service and listener of the server is put together here and nowhere else."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from admittance.errors import ConfigurationError
from admittance.server.access import assembly as access_services
from admittance.server.access import attested_clients
from admittance.server.access.assembly import AccessServices, LoginServices
from admittance.server.access.rfc8705 import REFRESH_EVERY_S, MutualTls
from admittance.server.accounts import routes as account_routes
from admittance.server.accounts import service as account_service
from admittance.server.accounts.service import AccountServices
from admittance.server.application import application
from admittance.server.background import repeat
from admittance.server.clock import Clock, system_clock
from admittance.server.config import Config
from admittance.server.enrolment import assembly as device_services
from admittance.server.foundation import Foundation, open_foundation
from admittance.server.guard import PEOPLE_HEADERS, Guard
from admittance.server.http import encode_json, reply
from admittance.server.keys.file import replace_file
from admittance.server.listeners import Listener
from admittance.server.mail.sender import mail_sender
from admittance.server.mail.transports import transport_for
from admittance.server.outbox import OutboxSender
from admittance.server.purge import Purge
from admittance.server.relay import assembly as relay_services
from admittance.server.relay.assembly import RelayServices
from admittance.server.relay.capture import Capture
from admittance.server.server import Loop, RelayServer, Secured, Server
from admittance.server.tls import Certificate, GivenCertificate, OwnCertificate, device_context, server_context
from admittance.wire import base64url

BUNDLE_FILE = "maker-bundle.json"
PEOPLE_CA_FILE = "people-ca.pem"
TLS_FOLDER = "tls"
PURGE_EVERY_S = 600.0
RELEASES_EVERY_S = 60.0


def build(config: Config, *, clock: Clock = system_clock) -> Server:
    """Compose a server from its configuration; makes the keys and files that a first start lacks.

    Raises `ConfigurationError` that names the setting or file and what to do about it.
    """
    foundation = open_foundation(config, clock=clock)
    write_public_files(foundation)
    ground = access_services.ground_of(foundation)
    logins = access_services.login_services(ground)
    accounts = account_services(foundation, logins)
    attestation = attested_clients.build(foundation)
    mutual_tls = MutualTls(database=foundation.database, url=config.mtls_url) if config.listen.mtls else None
    devices = device_services.build(foundation, accounts.passwords)
    relay = relay_services.build(foundation, accounts) if config.has_relay else None
    access = access_services.build(
        ground,
        accounts,
        logins,
        device_tokens=relay.granting.device_tokens if relay else None,
        attestation=attestation,
        mutual_tls=mutual_tls,
    )

    people = application(
        [
            *discovery_routes(foundation),
            *account_routes.routes(accounts, origin=config.server.origin, count_devices=devices.fleet.count),
            *access.people_routes,
            *devices.people_routes(accounts),
            *(relay.people_routes if relay else ()),
        ]
    )
    first_contact = application(devices.first_contact_routes())
    introspection = relay.granting.ace.device_routes(devices.devices.device) if relay else []
    device = application([*devices.device_routes(), *introspection])
    return Server(
        foundation,
        listeners(foundation, people, first_contact, device, relay, mtls_listeners(config, access, mutual_tls)),
        (
            *loops(foundation, devices.factors.sender),
            lambda: repeat("releases", RELEASES_EVERY_S, devices.lifecycle.release_due),
            *(attestation.loops if attestation else ()),
            *mtls_loops(mutual_tls),
        ),
        relay,
    )


def build_relay(config: Config, capture: Capture | None = None, *, clock: Clock = system_clock) -> RelayServer:
    """Compose a relay node alone, beside a server with the same database, keys and bus; it makes none of them.

    Raises `ConfigurationError` that names the setting or file and what to do about it.
    """
    if not config.has_relay:
        raise ConfigurationError("[listen] app_relay and device_relay are empty: set both.")
    foundation = open_foundation(config, clock=clock, create=False)
    if not foundation.database.is_sqlite and not config.bus.url:
        raise ConfigurationError("[bus] url is empty: this node and the others would not hear of each other.")
    logins = access_services.login_services(access_services.ground_of(foundation))
    relay = relay_services.build(foundation, account_services(foundation, logins), capture)
    return RelayServer(foundation, relay_secured(foundation, relay, prefix="relay-"), relay)


def account_services(foundation: Foundation, logins: LoginServices) -> AccountServices:
    """Everything about accounts."""
    config = foundation.config
    return account_service.build(
        database=foundation.database,
        clock=foundation.clock,
        audit=foundation.audit_log,
        envelope=foundation.envelope,
        origin=config.server.origin,
        code_key=foundation.keystore.code_key,
        dpop_nonce_key=foundation.keystore.dpop_nonce_key,
        default_quota=config.policy.quota,
        sessions=logins.sessions,
        invite_ttl_s=config.policy.invite_ttl_s,
        breach_list=breach_list(config),
    )


def breach_list(config: Config) -> Path | None:
    """The configured list of passwords to refuse."""
    name = config.policy.breached_passwords_file
    return config.path(name) if name else None


def listeners(
    foundation: Foundation,
    people: ASGIApp,
    first_contact: ASGIApp,
    device: ASGIApp,
    relay: RelayServices | None = None,
    mtls: tuple[Listener, ...] = (),
) -> tuple[Secured, ...]:
    """The listeners of ``[listen]`` and the certificates that secure them, and the relay's, which listens itself.

    `mtls` have the certificate of the one for people.
    """
    listen = foundation.config.listen
    issuing_ca = foundation.keystore.issuing_ca.certificate
    of_people, of_devices = relay_secured(foundation, relay)
    return (
        replace(
            of_people,
            listeners=(
                Listener("people", listen.people, Guard(people, "people", PEOPLE_HEADERS), server_context()),
                *mtls,
            ),
        ),
        replace(
            of_devices,
            listeners=(
                Listener(
                    "first_contact", listen.first_contact, Guard(first_contact, "first_contact"), server_context()
                ),
                Listener("device", listen.device, Guard(device, "device"), device_context(issuing_ca)),
            ),
        ),
    )


def mtls_listeners(config: Config, access: AccessServices, mutual_tls: MutualTls | None) -> tuple[Listener, ...]:
    """The listener for clients with certificates, if there is one."""
    if mutual_tls is None:
        return ()
    guarded = Guard(application(access.mtls_routes), "mtls", PEOPLE_HEADERS)
    return (Listener("mtls", config.listen.mtls, guarded, mutual_tls.context),)


def mtls_loops(mutual_tls: MutualTls | None) -> tuple[Loop, ...]:
    """What keeps that listener's trust as the registered clients are."""
    if mutual_tls is None:
        return ()
    return (lambda: repeat("client_certificates", REFRESH_EVERY_S, mutual_tls.refresh),)


def relay_secured(
    foundation: Foundation, relay: RelayServices | None, *, prefix: str = ""
) -> tuple[Secured, Secured]:
    """The certificates for people and for devices, with the contexts of the relay, if there is one."""
    people, devices = people_certificate(foundation, prefix), device_certificate(foundation, prefix)
    if relay is None:
        return Secured(people, ()), Secured(devices, ())
    at = relay.listeners
    return Secured(people, (), (at.app_context,)), Secured(devices, (), (at.device_context,))


def people_certificate(foundation: Foundation, prefix: str = "") -> Certificate:
    """The configured certificate, or one from the server's own CA for people; `prefix` begins its file's name."""
    config = foundation.config
    if config.tls.cert_file:
        return GivenCertificate(config.path(config.tls.cert_file), config.path(config.tls.key_file))
    urls = (config.server.origin, *config.app_relay_urls, *((config.mtls_url,) if config.mtls_url else ()))
    hosts = tuple(dict.fromkeys(map(_host, urls)))
    return OwnCertificate(_tls_folder(foundation) / f"{prefix}people.pem", hosts, foundation.keystore.people_ca)


def device_certificate(foundation: Foundation, prefix: str = "") -> Certificate:
    """One certificate for all device listeners, from the anchor that devices are given."""
    config = foundation.config
    urls = (config.first_contact_url, config.device_url, *config.device_relay_urls)
    hosts = tuple(dict.fromkeys(map(_host, urls)))
    return OwnCertificate(_tls_folder(foundation) / f"{prefix}device.pem", hosts, foundation.keystore.tls_anchor)


def loops(foundation: Foundation, sms: OutboxSender | None) -> tuple[Loop, ...]:
    """Work that goes on until the server stops."""
    config = foundation.config
    purge = Purge(database=foundation.database, clock=foundation.clock)
    always: tuple[Loop, ...] = (lambda: repeat("purge", PURGE_EVERY_S, purge.run),)
    if sms is not None:
        always = (*always, sms.run)
    transport = transport_for(
        config.mail.smtp,
        sender=config.mail.sender,
        username=config.mail.username,
        password_file=config.path(config.mail.password_file) if config.mail.password_file else None,
    )
    if transport is None:
        return always
    return (*always, mail_sender(database=foundation.database, clock=foundation.clock, transport=transport).run)


def discovery_routes(foundation: Foundation) -> list[BaseRoute]:
    """``/healthz``, and what makers and apps need to know of this server."""
    document = {**bundle(foundation), "relay": list(foundation.config.app_relay_urls)}

    async def healthz(_request: Request) -> Response:
        async with foundation.database.read():
            return reply({"status": "ok"})

    async def well_known(_request: Request) -> Response:
        return reply(document)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/.well-known/admittance", well_known, methods=["GET"]),
    ]


def bundle(foundation: Foundation) -> dict[str, str]:
    """What devices are made with: the origin, the configuration root and the key for manifests' secrets."""
    return {
        "origin": foundation.config.server.origin,
        "configuration_root": base64url.encode(foundation.keystore.configuration_root),
        "manifest_key": base64url.encode(foundation.keystore.manifest_public_key),
    }


def write_public_files(foundation: Foundation) -> None:
    """Put what makers and apps need into the data folder."""
    data_dir = foundation.config.data_dir
    replace_file(data_dir / BUNDLE_FILE, encode_json(bundle(foundation)) + b"\n")
    replace_file(data_dir / PEOPLE_CA_FILE, foundation.keystore.people_ca.certificate_pem)


def _tls_folder(foundation: Foundation) -> Path:
    folder = foundation.config.data_dir / TLS_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""
