"""Putting registry, activation and enrolment together for the composition root."""

import os
from dataclasses import dataclass

from cryptography import x509
from starlette.routing import Route

from admittance.errors import ConfigurationError
from admittance.protocol.signing import SoftwareSigner
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.server.accounts.password_check import PasswordCheck
from admittance.server.accounts.service import AccountServices
from admittance.server.activation import routes as activation_routes
from admittance.server.activation.challenges import Challenges
from admittance.server.activation.identity import IdentityCheck
from admittance.server.activation.sealing import ConfigurationSealer, ServerAddresses
from admittance.server.activation.service import ActivationService
from admittance.server.activation.tickets import TicketCodes
from admittance.server.config import Config
from admittance.server.devices import routes as setup_routes
from admittance.server.devices.catalogue import Catalogue, DeviceModel
from admittance.server.devices.manifest_import import ManifestImport
from admittance.server.devices.secrets import Dummies, SecretBox
from admittance.server.devices.service import SetupService
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import lifecycle_routes
from admittance.server.enrolment import routes as enrolment_routes
from admittance.server.enrolment.crl import RevocationList
from admittance.server.enrolment.devices import DeviceAuthenticator
from admittance.server.enrolment.endings import Endings
from admittance.server.enrolment.factors import assembly as factor_services
from admittance.server.enrolment.factors.assembly import FactorServices
from admittance.server.enrolment.fleet import Fleet
from admittance.server.enrolment.history import History
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.server.enrolment.lifecycle import Lifecycle
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.enrolment.model import CertificatePolicy
from admittance.server.enrolment.nonces import Nonces
from admittance.server.enrolment.service import NOBODY, EnrolmentService
from admittance.server.enrolment.tpm import assembly as tpm_services
from admittance.server.enrolment.tpm.assembly import TpmServices
from admittance.server.foundation import Foundation


@dataclass(frozen=True)
class DeviceServices:
    """Everything about devices, and the routes of each listener."""

    foundation: Foundation
    catalogue: Catalogue
    setup: SetupService
    challenges: Challenges
    activations: ActivationService
    enrolments: EnrolmentService
    devices: DeviceAuthenticator
    fleet: Fleet
    revocations: RevocationList
    factors: FactorServices
    tpm: TpmServices
    lifecycle: Lifecycle
    history: History

    def people_routes(self, accounts: AccountServices) -> list[Route]:
        authenticator = accounts.authenticator
        return [
            *setup_routes.routes(
                authenticator=authenticator, setup=self.setup, challenges=self.challenges, catalogue=self.catalogue
            ),
            *activation_routes.routes(
                authenticator=authenticator,
                challenges=self.challenges,
                activations=self.activations,
                networks=accounts.networks,
                database=self.foundation.database,
                second_factor=self.factors.settings.kinds_of,
            ),
            *enrolment_routes.people_routes(
                authenticator=authenticator, fleet=self.fleet, revocations=self.revocations
            ),
            *lifecycle_routes.routes(
                authenticator=authenticator, fleet=self.fleet, lifecycle=self.lifecycle, history=self.history
            ),
            *self.factors.people_routes(authenticator),
        ]

    def first_contact_routes(self) -> list[Route]:
        return [
            *enrolment_routes.first_contact_routes(enrolments=self.enrolments, revocations=self.revocations),
            *self.factors.first_contact_routes(),
            *self.tpm.first_contact_routes(),
            *self.device_routes(),
        ]

    def device_routes(self) -> list[Route]:
        return [
            *enrolment_routes.device_routes(devices=self.devices, clock=self.foundation.clock),
            *self.factors.device_routes(self.devices.device),
        ]


def build(foundation: Foundation, passwords: PasswordCheck) -> DeviceServices:
    """Raises `ConfigurationError` if a maker's CA file or ``[sms]`` cannot be used."""
    config, keys = foundation.config, foundation.keystore
    database, audit, clock = foundation.database, foundation.audit_log, foundation.clock
    catalogue = read_catalogue(config)
    secrets = SecretBox(foundation.envelope)
    codes = TicketCodes(keys.code_key)
    policy = CertificatePolicy(config.policy.certificate_ttl_s)
    mails = OwnerMails(config.server.origin)
    nonces = Nonces(keys.code_key, os.urandom)
    addresses = _addresses(foundation)
    factors = factor_services.build(
        foundation,
        catalogue=catalogue,
        mails=mails,
        nonces=nonces,
        tickets=codes,
        passwords=passwords,
        addresses=addresses,
        nobody=NOBODY,
    )
    dummies = Dummies(keys.dummy_key)
    endings = Endings(audit)
    sightings = Sightings(audit=audit, alert=mails.appeared)
    tpm = tpm_services.build(foundation, catalogue, dummies, sightings)
    issuing_ca = keys.issuing_ca
    return DeviceServices(
        foundation=foundation,
        catalogue=catalogue,
        setup=SetupService(database=database, catalogue=catalogue, secrets=secrets, dummies=dummies, clock=clock),
        challenges=Challenges(database=database, clock=clock, random=os.urandom),
        activations=ActivationService(
            database=database,
            audit=audit,
            catalogue=catalogue,
            identities=IdentityCheck(origin=config.server.origin, catalogue=catalogue),
            sealer=_sealer(foundation, addresses, secrets, policy),
            sightings=sightings,
            codes=codes,
            clock=clock,
            random=os.urandom,
            default_quota=config.policy.quota,
            ticket_ttl_s=config.policy.ticket_ttl_s,
        ),
        enrolments=EnrolmentService(
            database=database,
            audit=audit,
            catalogue=catalogue,
            codes=codes,
            nonces=nonces,
            issuer=CertificateIssuer(issuing_ca.key, issuing_ca.certificate),
            policy=policy,
            mails=mails,
            factors=factors.factors,
            attestations=tpm.attestations,
            sightings=sightings,
            clock=clock,
        ),
        devices=DeviceAuthenticator(database=database, sightings=sightings, policy=policy, clock=clock),
        fleet=Fleet(database=database, endings=endings, catalogue=catalogue, mails=mails, clock=clock),
        lifecycle=Lifecycle(
            database=database,
            audit=audit,
            endings=endings,
            mails=mails,
            clock=clock,
            release_notice_s=config.policy.release_notice_s,
        ),
        history=History(database=database, clock=clock),
        revocations=RevocationList(
            database=database, key=issuing_ca.key, certificate=issuing_ca.certificate, clock=clock
        ),
        factors=factors,
        tpm=tpm,
    )


def manifest_import(foundation: Foundation) -> ManifestImport:
    """The importer that works directly on the database."""
    return ManifestImport(
        database=foundation.database,
        audit=foundation.audit_log,
        catalogue=read_catalogue(foundation.config),
        secrets=SecretBox(foundation.envelope),
        manifest_key=foundation.keystore.manifest_key,
        clock=foundation.clock,
    )


def read_catalogue(config: Config) -> Catalogue:
    """The models and makers of the configuration. Raises `ConfigurationError` if a CA file cannot be used."""
    models = [
        DeviceModel(
            model=name,
            display_name=section.display_name,
            manual_url=section.manual_url,
            presence=section.presence,
            minimum_assurance=section.minimum_assurance,
            makers=section.makers,
            second_factor=section.second_factor,
            keyboard=section.keyboard,
            offline=section.offline,
            pcrs=next((PcrPolicy.parse(*each) for each in section.pcrs.items()), None),
        )
        for name, section in config.models.items()
    ]
    makers = {name: _authority(config, name, section.ca_file) for name, section in config.makers.items()}
    return Catalogue(models, makers)


def _addresses(foundation: Foundation) -> ServerAddresses:
    config = foundation.config
    return ServerAddresses(
        origin=config.server.origin,
        first_contact_url=config.first_contact_url,
        device_url=config.device_url,
        anchors=(foundation.keystore.tls_anchor.certificate_der,),
        relay_urls=config.device_relay_urls,
        server_channel=foundation.keystore.channel_spki if config.has_relay else b"",
        token_keys=foundation.keystore.device_token_spkis,
    )


def _sealer(
    foundation: Foundation, addresses: ServerAddresses, secrets: SecretBox, policy: CertificatePolicy
) -> ConfigurationSealer:
    keys = foundation.keystore
    return ConfigurationSealer(
        addresses=addresses,
        signer=SoftwareSigner(keys.configuration_key),
        chain=keys.configuration_chain,
        secrets=secrets,
        renew_after_s=policy.renew_after_s,
        random=os.urandom,
    )


def _authority(config: Config, name: str, ca_file: str) -> x509.Certificate:
    path = config.path(ca_file)
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"[makers.{name}] ca_file {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"[makers.{name}] ca_file {path} holds no certificate in PEM") from None
