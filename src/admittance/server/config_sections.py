"""The tables of the configuration's file; `admittance.server.config` reads and checks it."""

from typing import Annotated, Literal

import msgspec
from msgspec import field

Assurance = Literal["self-asserted", "listed", "certified", "tpm"]
Presence = Literal["display", "button"]
FactorKind = Literal["code", "totp", "sms", "approval"]
Seconds = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

MAX_CERTIFICATE_TTL_S = 7 * 24 * 3600
MAX_TICKET_TTL_S = 3600


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class ServerSection(Section, frozen=True):
    """`origin` is the people listener's public origin: ``https://host`` or ``https://host:port``.

    Devices are made for it, so it stays. `first_contact_url` and `device_url` are where devices find their
    listeners; when empty, the origin's host with the port of ``[listen]``. `mtls_url` is where clients with
    certificates find theirs; when empty, likewise. `app_relay_urls` and `device_relay_urls`
    (``wss://host:port``, at most 4 each) are where apps and devices find the relay; when empty, likewise.
    """

    origin: str = "https://localhost:8443"
    data_dir: str = "admittance-data"
    first_contact_url: str = ""
    device_url: str = ""
    mtls_url: str = ""
    app_relay_urls: tuple[str, ...] = ()
    device_relay_urls: tuple[str, ...] = ()


class ListenSection(Section, frozen=True):
    """``host:port`` of each listener. The relay's may be empty, both at once: then there is no relay.

    `device_relay_plain` has no TLS, for devices that can't do it; empty: there is none. `mtls` is for OAuth clients
    that prove themselves by a certificate; empty: none can.
    """

    people: str = "127.0.0.1:8443"
    first_contact: str = "127.0.0.1:8444"
    device: str = "127.0.0.1:8445"
    app_relay: str = "127.0.0.1:8446"
    device_relay: str = "127.0.0.1:8447"
    device_relay_plain: str = ""
    mtls: str = ""


class DatabaseSection(Section, frozen=True):
    """`url` empty: SQLite in the data folder. PostgreSQL: ``postgresql+asyncpg://user@host/database``."""

    url: str = ""
    password_file: str = ""


class BusSection(Section, frozen=True):
    """What several nodes talk through; `url` empty: a single process. NATS: ``nats://host:port`` or
    ``tls://host:port``, several joined by commas.

    `credentials_file`: ``user:password``, or NATS credentials. `ca_file`: the CAs (PEM) that may vouch for NATS;
    empty: the system's. `cert_file` and `key_file`: the node's own certificate, where NATS asks for one. `prefix`
    begins every subject: servers that share one NATS have one each.
    """

    url: str = ""
    prefix: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,32}$")] = "admittance"
    credentials_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class MailSection(Section, frozen=True):
    """`smtp`: ``smtp://host:port`` (STARTTLS when offered) or ``smtps://host:port``; empty sends no mail."""

    smtp: str = ""
    sender: str = field(default="Admittance <admittance@localhost>", name="from")
    username: str = ""
    password_file: str = ""


class SmsSection(Section, frozen=True):
    """`provider` ``http`` posts JSON to `url`, with the bearer token in `token_file`; ``none`` sends nothing.

    `ca_file`: the CAs (PEM) that may vouch for `url`; empty: the system's.
    """

    provider: str = "none"
    url: str = ""
    token_file: str = ""
    ca_file: str = ""


class TlsSection(Section, frozen=True):
    """The people listener's certificate (chain, leaf first) and key; empty: one from the server's own CA."""

    cert_file: str = ""
    key_file: str = ""


class TpmSection(Section, frozen=True):
    """`ek_roots`: files (PEM, one certificate or more each) of the CAs that may vouch for endorsement keys."""

    ek_roots: tuple[str, ...] = ()


class KeysSection(Section, frozen=True):
    """`key_encryption_file`: 32 bytes, mode 0600; empty: one in the data folder."""

    key_encryption_file: str = ""


class PolicySection(Section, frozen=True):
    """`quota` is how many devices a new account may own; certificates live at most 7 days, tickets 1 h.

    `release_notice_s` is how long an owner may object before the operator's release of a device becomes effective.
    `breached_passwords_file`: passwords to refuse, one SHA-1 in hexadecimal a line, beside the built-in list.
    """

    quota: Count = 20
    certificate_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=MAX_CERTIFICATE_TTL_S)] = MAX_CERTIFICATE_TTL_S
    release_notice_s: Annotated[int, msgspec.Meta(ge=3600)] = 14 * 24 * 3600
    ticket_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=MAX_TICKET_TTL_S)] = MAX_TICKET_TTL_S
    invite_ttl_s: Seconds = 7 * 24 * 3600
    breached_passwords_file: str = ""


class AccessSection(Section, frozen=True):
    """`access_token_ttl_s`: how long an access token lives, at most 1 h. `session_ttl_s`: how long a login lives,
    during which its client gets new access tokens by itself.
    """

    access_token_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=3600)] = 600
    session_ttl_s: Annotated[int, msgspec.Meta(ge=600)] = 30 * 24 * 3600


class IntegritySection(Section, frozen=True):
    """The integrity service whose attestations count; `issuer` (its origin) empty: none does.

    Its keys are in `jwks_file`, or fetched from `jwks_url`; when both are empty, from the issuer. `ca_file`: the CAs
    (PEM) that may vouch for the URL; empty: the system's.
    """

    issuer: str = ""
    jwks_file: str = ""
    jwks_url: str = ""
    ca_file: str = ""


class RelaySection(Section, frozen=True):
    """Limits of one relay node.

    Half-open connections have not proved themselves yet; a source is an IPv4 address or an IPv6 /64. Frames and
    bytes are of one connection, counted as they come from it; `silence_s` is how long a peer may say nothing,
    `idle_s` how long a stream may carry nothing. `drain_s` is over how long clients of a node that stops come back.
    """

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20_000
    max_half_open: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 512
    max_half_open_per_source: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    max_streams_per_device: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 64
    max_streams_per_account: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 256
    app_frames_per_s: Annotated[int, msgspec.Meta(ge=1)] = 1000
    app_bytes_per_s: Annotated[int, msgspec.Meta(ge=65536)] = 2 * 1024 * 1024
    device_frames_per_s: Annotated[int, msgspec.Meta(ge=1)] = 4000
    device_bytes_per_s: Annotated[int, msgspec.Meta(ge=65536)] = 8 * 1024 * 1024
    silence_s: Annotated[int, msgspec.Meta(ge=3, le=600)] = 30
    idle_s: Annotated[int, msgspec.Meta(ge=10)] = 3600
    drain_s: Annotated[int, msgspec.Meta(ge=1, le=600)] = 10


class LogSection(Section, frozen=True):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ModelSection(Section, frozen=True):
    """A kind of device. `makers` are names of ``[makers]`` whose certificates count for this model.

    `second_factor`: any one of these is needed to enrol for an owner; empty: none. `keyboard`: a person can log in on
    the device itself. `offline`: it has no way to the server: it is its owner's without enrolling, and takes tokens
    that guests bring. `pcrs` maps one selection, such as ``sha256:0,7``, to the composite digests (hexadecimal) that
    are good; empty: what a device booted is not asked.
    """

    display_name: str
    presence: Presence
    manual_url: str = ""
    minimum_assurance: Assurance = "listed"
    makers: tuple[str, ...] = ()
    second_factor: tuple[FactorKind, ...] = ()
    keyboard: bool = False
    offline: bool = False
    pcrs: dict[str, tuple[str, ...]] = {}


class MakerSection(Section, frozen=True):
    """`ca_file`: the maker CA's certificate in PEM."""

    ca_file: str
