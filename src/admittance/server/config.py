"""The configuration: one TOML file, every value typed and frozen, every default safe, every secret in a file."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import field

from admittance.errors import ConfigurationError, Malformed
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.server.config_hints import Failure, convert, read_toml, refuse_unknown
from admittance.server.config_sections import (
    AccessSection,
    Assurance,
    BusSection,
    DatabaseSection,
    FactorKind,
    IntegritySection,
    KeysSection,
    ListenSection,
    LogSection,
    MailSection,
    MakerSection,
    ModelSection,
    PolicySection,
    Presence,
    RelaySection,
    Section,
    ServerSection,
    SmsSection,
    TlsSection,
    TpmSection,
)

__all__ = [
    "MAX_RELAY_URLS",
    "AccessSection",
    "Assurance",
    "BusSection",
    "Config",
    "DatabaseSection",
    "FactorKind",
    "IntegritySection",
    "KeysSection",
    "ListenSection",
    "LogSection",
    "MailSection",
    "MakerSection",
    "ModelSection",
    "PolicySection",
    "Presence",
    "RelaySection",
    "Section",
    "ServerSection",
    "SmsSection",
    "TlsSection",
    "TpmSection",
    "load_config",
    "parse_address",
]

MAX_RELAY_URLS = 4
_OPTIONAL_LISTENERS = ("app_relay", "device_relay", "device_relay_plain", "mtls")


class Config(Section, frozen=True):
    server: ServerSection = ServerSection()
    listen: ListenSection = ListenSection()
    database: DatabaseSection = DatabaseSection()
    bus: BusSection = BusSection()
    mail: MailSection = MailSection()
    sms: SmsSection = SmsSection()
    tls: TlsSection = TlsSection()
    tpm: TpmSection = TpmSection()
    keys: KeysSection = KeysSection()
    policy: PolicySection = PolicySection()
    access: AccessSection = AccessSection()
    integrity: IntegritySection = IntegritySection()
    relay: RelaySection = RelaySection()
    log: LogSection = LogSection()
    models: dict[str, ModelSection] = field(default_factory=dict)
    makers: dict[str, MakerSection] = field(default_factory=dict)
    folder: Path = Path()
    """Relative paths start here: the folder of the file."""

    @property
    def data_dir(self) -> Path:
        return self.path(self.server.data_dir)

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite+aiosqlite:///{self.data_dir / 'admittance.db'}"

    @property
    def first_contact_url(self) -> str:
        return self.server.first_contact_url or self._beside_origin(self.listen.first_contact)

    @property
    def device_url(self) -> str:
        return self.server.device_url or self._beside_origin(self.listen.device)

    @property
    def mtls_url(self) -> str:
        """Where OAuth clients with certificates find their listener; empty if there is none."""
        if not self.listen.mtls:
            return ""
        return self.server.mtls_url or self._beside_origin(self.listen.mtls)

    @property
    def has_relay(self) -> bool:
        return bool(self.listen.app_relay)

    @property
    def app_relay_urls(self) -> tuple[str, ...]:
        """Where apps find the relay; empty if there is none."""
        return self._relay_urls(self.server.app_relay_urls, self.listen.app_relay)

    @property
    def device_relay_urls(self) -> tuple[str, ...]:
        """Where devices find the relay; empty if there is none."""
        return self._relay_urls(self.server.device_relay_urls, self.listen.device_relay)

    def path(self, name: str) -> Path:
        return self.folder / Path(name).expanduser()

    def _relay_urls(self, given: tuple[str, ...], address: str) -> tuple[str, ...]:
        if not self.has_relay:
            return ()
        return given or ("wss" + self._beside_origin(address).removeprefix("https"),)

    def _beside_origin(self, address: str) -> str:
        host = urlsplit(self.server.origin).hostname or ""
        shown = f"[{host}]" if ":" in host else host
        return f"https://{shown}:{parse_address(address)[1]}"


def load_config(path: Path | None) -> Config:
    """Read and check a file, or give the defaults for None.

    Raises `ConfigurationError` that names file, line, setting and the next step.
    """
    if path is None:
        return Config(folder=Path.cwd())
    raw, fail = read_toml(path)
    return _build(raw, path, fail)


def parse_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port``. Raises `ConfigurationError`."""
    host, separator, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{address!r} is no address; write host:port, such as 127.0.0.1:8443")
    return host, int(port)


def _build(raw: dict[str, Any], path: Path, fail: Failure) -> Config:
    refuse_unknown(raw, Config, fail, hidden=("folder",))
    named = {table: raw.pop(table) for table in ("models", "makers") if isinstance(raw.get(table), dict)}
    config = convert(raw, Config, (), fail)
    config = msgspec.structs.replace(
        config,
        folder=path.parent.absolute(),
        models={
            name: convert(item, ModelSection, ("models", name), fail)
            for name, item in named.get("models", {}).items()
        },
        makers={
            name: convert(item, MakerSection, ("makers", name), fail)
            for name, item in named.get("makers", {}).items()
        },
    )
    for setting, message in _contradictions(config):
        raise fail(setting, message)
    return config


def _contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    """What each value alone does not show."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name in ("origin", "first_contact_url", "device_url", "mtls_url"):
        value = getattr(config.server, name)
        if (value or name == "origin") and not is_origin(value):
            found.append((("server", name), "write an origin: https://host or https://host:port, no path"))
    for name in ListenSection.__struct_fields__:
        address = getattr(config.listen, name)
        if not address and name in _OPTIONAL_LISTENERS:
            continue
        try:
            parse_address(address)
        except ConfigurationError as error:
            found.append((("listen", name), str(error)))
    if config.server.mtls_url and not config.listen.mtls:
        found.append((("server", "mtls_url"), "set [listen] mtls too"))
    found += _relay_contradictions(config)
    if bool(config.tls.cert_file) != bool(config.tls.key_file):
        found.append((("tls",), "cert_file and key_file belong together: set both or neither"))
    if config.database.url and "://" in config.database.url and _has_password(config.database.url):
        found.append((("database", "url"), 'take the password out and name a file: password_file = "…"'))
    found += _bus_contradictions(config)
    if config.mail.smtp:
        smtp = urlsplit(config.mail.smtp)
        if smtp.scheme not in ("smtp", "smtps") or not smtp.hostname or smtp.password:
            found.append((("mail", "smtp"), "write smtp://host:port or smtps://host:port, without a password"))
    found += _sms_contradictions(config)
    found += _integrity_contradictions(config)
    for model, section in config.models.items():
        found += _tpm_contradictions(config, model, section)
        if section.second_factor == ("sms",) and config.sms.provider == "none":
            found.append((("models", model, "second_factor"), "name another factor too, or set [sms] provider"))
        for maker in section.makers:
            if maker not in config.makers:
                found.append((("models", model, "makers"), f"there is no [makers.{maker}]"))
    return found


def _bus_contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    bus = config.bus
    found: list[tuple[tuple[str, ...], str]] = []
    parts = [urlsplit(url) for url in bus.url.split(",")] if bus.url else []
    schemes = {part.scheme for part in parts}
    if any(part.scheme not in ("nats", "tls") or not part.hostname or "@" in part.netloc for part in parts):
        found.append((("bus", "url"), "write nats://host:port or tls://host:port, without a password"))
    elif len(schemes) > 1:
        found.append((("bus", "url"), "write tls:// for all servers, or for none"))
    elif schemes == {"nats"} and (bus.ca_file or bus.cert_file):
        found.append((("bus", "url"), "write tls:// where there are certificates"))
    if bool(bus.cert_file) != bool(bus.key_file):
        found.append((("bus",), "cert_file and key_file belong together: set both or neither"))
    if bus.url and config.database_url.startswith("sqlite"):
        found.append((("bus", "url"), "several nodes share one PostgreSQL: set [database] url"))
    return found


def _relay_contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    listen = config.listen
    if bool(listen.app_relay) != bool(listen.device_relay):
        found.append((("listen",), "app_relay and device_relay belong together: set both, or empty both"))
    if listen.device_relay_plain and not listen.device_relay:
        found.append((("listen", "device_relay_plain"), "set app_relay and device_relay too"))
    for name in ("app_relay_urls", "device_relay_urls"):
        urls = getattr(config.server, name)
        schemes = ("wss",) if name == "app_relay_urls" or not listen.device_relay_plain else ("wss", "ws")
        if len(urls) > MAX_RELAY_URLS or not all(_is_relay_url(url, schemes) for url in urls):
            found.append((("server", name), f"write at most {MAX_RELAY_URLS} of {schemes[0]}://host:port, no path"))
    return found


def _is_relay_url(url: str, schemes: tuple[str, ...]) -> bool:
    scheme, separator, rest = url.partition("://")
    return bool(separator) and scheme in schemes and is_origin(f"https://{rest}")


def _tpm_contradictions(config: Config, name: str, model: ModelSection) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    if model.minimum_assurance == "tpm" and not config.tpm.ek_roots:
        found.append((("models", name, "minimum_assurance"), "set [tpm] ek_roots, or no device can prove its TPM"))
    if len(model.pcrs) > 1:
        found.append((("models", name, "pcrs"), 'write one selection; it may join banks: "sha256:0,7+sha384:0"'))
    for selection, digests in list(model.pcrs.items())[:1]:
        try:
            PcrPolicy.parse(selection, digests)
        except Malformed as error:
            found.append((("models", name, "pcrs"), str(error)))
    return found


def _sms_contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    sms = config.sms
    if sms.provider == "none":
        return []
    found: list[tuple[tuple[str, ...], str]] = []
    parts = urlsplit(sms.url)
    is_local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or is_local):
        found.append((("sms", "url"), "write https://host/path, without a password; http only to this machine"))
    if not sms.token_file:
        found.append((("sms", "token_file"), "name a private file that holds the provider's token"))
    return found


def _integrity_contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    section = config.integrity
    found: list[tuple[tuple[str, ...], str]] = []
    if section.issuer and not is_origin(section.issuer):
        found.append((("integrity", "issuer"), "write an origin: https://host or https://host:port, no path"))
    if not section.issuer and section != IntegritySection():
        found.append((("integrity", "issuer"), "name the integrity service: its origin"))
    if section.jwks_file and section.jwks_url:
        found.append((("integrity", "jwks_url"), "set jwks_file or jwks_url, not both"))
    if section.jwks_url and urlsplit(section.jwks_url).scheme != "https":
        found.append((("integrity", "jwks_url"), "write https://host/path"))
    return found


def _has_password(url: str) -> bool:
    return ":" in url.split("://", 1)[1].partition("@")[0] if "@" in url else False


def is_origin(value: str) -> bool:
    """Whether `value` is ``https://host`` or ``https://host:port``, and nothing more."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return bool(host) and value == f"https://{shown}" + (f":{port}" if port is not None else "")
