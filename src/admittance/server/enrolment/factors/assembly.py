"""Putting second factors together for the composition root."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.routing import Route

from admittance.protocol.signing import SoftwareSigner
from admittance.server.accounts.authenticate import Authenticator
from admittance.server.accounts.password_check import PasswordCheck
from admittance.server.activation.sealing import ServerAddresses
from admittance.server.activation.tickets import TicketCodes
from admittance.server.devices.catalogue import Catalogue
from admittance.server.enrolment.factors import routes
from admittance.server.enrolment.factors.codes import EnrolmentCodes
from admittance.server.enrolment.factors.logins import DeviceLogins
from admittance.server.enrolment.factors.people import FactorSettings
from admittance.server.enrolment.factors.routes import DeviceOf
from admittance.server.enrolment.factors.service import Factors
from admittance.server.enrolment.factors.sms_codes import SmsCodes
from admittance.server.enrolment.factors.totp import Totp
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.enrolment.nonces import Nonces
from admittance.server.foundation import Foundation
from admittance.server.outbox import OutboxSender
from admittance.server.sms.outbox import SmsOutbox
from admittance.server.sms.providers import configured_provider
from admittance.server.sms.sender import sms_sender


@dataclass(frozen=True)
class FactorServices:
    """`sender` is None where the configuration names no SMS provider."""

    foundation: Foundation
    addresses: ServerAddresses
    factors: Factors
    settings: FactorSettings
    logins: DeviceLogins
    sender: OutboxSender | None

    def people_routes(self, authenticator: Authenticator) -> list[Route]:
        keys = self.foundation.keystore
        bootstrap = routes.bootstrap_route(
            self.addresses,
            SoftwareSigner(keys.configuration_key),
            tuple(keys.configuration_chain),
            self.foundation.clock,
        )
        return [*routes.people_routes(authenticator, self.settings), bootstrap]

    def first_contact_routes(self) -> list[Route]:
        return routes.first_contact_routes(self.logins)

    def device_routes(self, device_of: DeviceOf) -> list[Route]:
        return routes.device_routes(device_of, self.settings)


def build(
    foundation: Foundation,
    *,
    catalogue: Catalogue,
    mails: OwnerMails,
    nonces: Nonces,
    tickets: TicketCodes,
    passwords: PasswordCheck,
    addresses: ServerAddresses,
    nobody: bytes,
) -> FactorServices:
    """Raises `ConfigurationError` if ``[sms]`` cannot be used."""
    config, keys = foundation.config, foundation.keystore
    database, audit, clock = foundation.database, foundation.audit_log, foundation.clock
    provider = configured_provider(config)
    outbox = None if provider is None else SmsOutbox(foundation.envelope)
    sender = (
        None
        if provider is None or outbox is None
        else sms_sender(database=database, clock=clock, outbox=outbox, provider=provider)
    )
    codes = EnrolmentCodes(keys.code_key, os.urandom)
    totp = Totp(foundation.envelope, urlsplit(config.server.origin).hostname or "Admittance")
    sms = SmsCodes(key=keys.code_key, envelope=foundation.envelope, outbox=outbox, random=os.urandom)
    factors = Factors(audit=audit, codes=codes, totp=totp, sms=sms, mails=mails, default_quota=config.policy.quota)
    return FactorServices(
        foundation=foundation,
        addresses=addresses,
        factors=factors,
        settings=FactorSettings(
            database=database,
            audit=audit,
            catalogue=catalogue,
            factors=factors,
            codes=codes,
            totp=totp,
            sms=sms,
            clock=clock,
        ),
        logins=DeviceLogins(
            database=database,
            audit=audit,
            catalogue=catalogue,
            passwords=passwords,
            nonces=nonces,
            tickets=tickets,
            sms=sms,
            clock=clock,
            random=os.urandom,
            nobody=nobody,
        ),
        sender=sender,
    )
