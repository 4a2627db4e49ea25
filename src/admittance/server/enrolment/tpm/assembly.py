"""Putting TPM enrolment and TPM sessions together for the composition root."""

import os
from dataclasses import dataclass

from cryptography import x509
from starlette.routing import Route

from admittance.errors import ConfigurationError
from admittance.server.config import Config
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.secrets import Dummies
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment.tpm import routes
from admittance.server.enrolment.tpm.attestation import Attestations
from admittance.server.enrolment.tpm.credentials import ChallengeSecrets, Credentials
from admittance.server.enrolment.tpm.sessions import TpmSessions
from admittance.server.enrolment.tpm.stand_ins import StandIns
from admittance.server.foundation import Foundation


@dataclass(frozen=True)
class TpmServices:
    """Everything about TPMs; `attestations` is for the enrolment service."""

    credentials: Credentials
    sessions: TpmSessions
    attestations: Attestations

    def first_contact_routes(self) -> list[Route]:
        return routes.routes(credentials=self.credentials, sessions=self.sessions)


def build(foundation: Foundation, catalogue: Catalogue, dummies: Dummies, sightings: Sightings) -> TpmServices:
    """Raises `ConfigurationError` if a file of ``[tpm] ek_roots`` cannot be used."""
    database, clock = foundation.database, foundation.clock
    secrets = ChallengeSecrets(foundation.keystore.code_key)
    return TpmServices(
        credentials=Credentials(
            database=database,
            catalogue=catalogue,
            roots=read_roots(foundation.config),
            secrets=secrets,
            dummies=dummies,
            clock=clock,
            random=os.urandom,
        ),
        sessions=TpmSessions(
            database=database, sightings=sightings, stand_ins=StandIns(dummies), clock=clock, random=os.urandom
        ),
        attestations=Attestations(database=database, catalogue=catalogue, secrets=secrets),
    )


def read_roots(config: Config) -> list[x509.Certificate]:
    """The CAs that may vouch for endorsement keys. Raises `ConfigurationError` that names the file."""
    roots: list[x509.Certificate] = []
    for name in config.tpm.ek_roots:
        path = config.path(name)
        try:
            roots += x509.load_pem_x509_certificates(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"[tpm] ek_roots {path}: {error.strerror}") from None
        except ValueError:
            raise ConfigurationError(f"[tpm] ek_roots {path} holds no certificate in PEM") from None
    return roots
