"""Every table of the server: importing this module fills `metadata`."""

from admittance.server.access import tables as access
from admittance.server.accounts import store as accounts
from admittance.server.activation import store as activation
from admittance.server.audit import store as audit
from admittance.server.database import metadata
from admittance.server.devices import sightings
from admittance.server.devices import store as devices
from admittance.server.enrolment import store as enrolment
from admittance.server.enrolment.factors import tables as factors
from admittance.server.enrolment.tpm import store as tpm
from admittance.server.grants import tables as grants
from admittance.server.mail import store as mail
from admittance.server.readings import store as readings
from admittance.server.relay import presence
from admittance.server.relay import tickets as relay_tickets
from admittance.server.revocations import store as revocations
from admittance.server.sms import store as sms

__all__ = [
    "access",
    "accounts",
    "activation",
    "audit",
    "devices",
    "enrolment",
    "factors",
    "grants",
    "mail",
    "metadata",
    "presence",
    "readings",
    "relay_tickets",
    "revocations",
    "sightings",
    "sms",
    "tpm",
]
