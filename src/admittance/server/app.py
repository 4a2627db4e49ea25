"""The composition root: every service and listener of the server is put together here and nowhere else."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from admittance.server import problems
from admittance.server.accounts import routes as account_routes
from admittance.server.accounts import service as account_service
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
from admittance.server.server import Loop, Secured, Server
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
    accounts = account_service.build(
        database=foundation.database,
        clock=clock,
        audit=foundation.audit_log,
        envelope=foundation.envelope,
        origin=config.server.origin,
        code_key=foundation.keystore.code_key,
        dpop_nonce_key=foundation.keystore.dpop_nonce_key,
        default_quota=config.policy.quota,
        invite_ttl_s=config.policy.invite_ttl_s,
        token_ttl_s=config.policy.token_ttl_s,
        breach_list=breach_list(config),
    )
    devices = device_services.build(foundation, accounts.passwords)

    people = application(
        [
            *discovery_routes(foundation),
            *account_routes.routes(accounts, origin=config.server.origin, count_devices=devices.fleet.count),
            *devices.people_routes(accounts),
        ]
    )
    first_contact = application(devices.first_contact_routes())
    device = application(devices.device_routes())
    return Server(
        foundation,
        listeners(foundation, people, first_contact, device),
        (
            *loops(foundation, devices.factors.sender),
            lambda: repeat("releases", RELEASES_EVERY_S, devices.lifecycle.release_due),
        ),
    )


def breach_list(config: Config) -> Path | None:
    """The configured list of passwords to refuse."""
    name = config.policy.breached_passwords_file
    return config.path(name) if name else None


def application(routes: Sequence[BaseRoute]) -> ASGIApp:
    """One listener's routes; what is not exactly one of them is not found."""
    made = Starlette(routes=routes, exception_handlers=problems.handlers())
    made.router.redirect_slashes = False
    return made


def listeners(
    foundation: Foundation, people: ASGIApp, first_contact: ASGIApp, device: ASGIApp
) -> tuple[Secured, ...]:
    """The three listeners of ``[listen]`` and the certificates that secure them."""
    listen = foundation.config.listen
    issuing_ca = foundation.keystore.issuing_ca.certificate
    return (
        Secured(
            people_certificate(foundation),
            (Listener("people", listen.people, Guard(people, "people", PEOPLE_HEADERS), server_context()),),
        ),
        Secured(
            device_certificate(foundation),
            (
                Listener(
                    "first_contact", listen.first_contact, Guard(first_contact, "first_contact"), server_context()
                ),
                Listener("device", listen.device, Guard(device, "device"), device_context(issuing_ca)),
            ),
        ),
    )


def people_certificate(foundation: Foundation) -> Certificate:
    """The configured certificate, or one from the server's own CA for people."""
    config = foundation.config
    if config.tls.cert_file:
        return GivenCertificate(config.path(config.tls.cert_file), config.path(config.tls.key_file))
    hosts = (_host(config.server.origin),)
    return OwnCertificate(_tls_folder(foundation) / "people.pem", hosts, foundation.keystore.people_ca)


def device_certificate(foundation: Foundation) -> Certificate:
    """One certificate for both device listeners, from the anchor that devices are given."""
    config = foundation.config
    hosts = tuple(dict.fromkeys((_host(config.first_contact_url), _host(config.device_url))))
    return OwnCertificate(_tls_folder(foundation) / "device.pem", hosts, foundation.keystore.tls_anchor)


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
    document = bundle(foundation)

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
