"""The integrity service's configuration: one TOML file of its own."""

from pathlib import Path
from typing import Annotated

import msgspec

from admittance.errors import ConfigurationError
from admittance.server.config import is_origin, parse_address
from admittance.server.config_hints import convert, read_toml, refuse_unknown
from admittance.server.config_sections import DatabaseSection, LogSection, Section, TlsSection

MAX_ATTESTATION_TTL_S = 3600


class ServiceSection(Section, frozen=True):
    """`origin` is where apps find the service, and the issuer that its attestations name."""

    origin: str = "https://localhost:8450"
    listen: str = "127.0.0.1:8450"
    data_dir: str = "integrity-data"


class PolicySection(Section, frozen=True):
    """`coverage_percent` is the least share of an app's bytes that a challenge asks for.

    A challenge must be answered within `deadline_s`; attestations live for `attestation_ttl_s`, an hour at most.
    """

    coverage_percent: Annotated[int, msgspec.Meta(ge=60, le=100)] = 80
    deadline_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 5
    attestation_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=MAX_ATTESTATION_TTL_S)] = 15 * 60


class IntegrityConfig(Section, frozen=True):
    service: ServiceSection = ServiceSection()
    database: DatabaseSection = DatabaseSection()
    tls: TlsSection = TlsSection()
    policy: PolicySection = PolicySection()
    log: LogSection = LogSection()
    folder: Path = Path()
    """Relative paths start here: the folder of the file."""

    @property
    def data_dir(self) -> Path:
        return self.path(self.service.data_dir)

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite+aiosqlite:///{self.data_dir / 'integrity.db'}"

    def path(self, name: str) -> Path:
        return self.folder / Path(name).expanduser()


def load_config(path: Path | None) -> IntegrityConfig:
    """Read and check a file, or give the defaults for None.

    Raises `ConfigurationError` that names file, line, setting and the next step.
    """
    if path is None:
        return IntegrityConfig(folder=Path.cwd())
    raw, fail = read_toml(path)
    refuse_unknown(raw, IntegrityConfig, fail, hidden=("folder",))
    config = convert(raw, IntegrityConfig, (), fail)
    if not is_origin(config.service.origin):
        raise fail(("service", "origin"), "write an origin: https://host or https://host:port, no path")
    try:
        parse_address(config.service.listen)
    except ConfigurationError as error:
        raise fail(("service", "listen"), str(error)) from None
    if bool(config.tls.cert_file) != bool(config.tls.key_file):
        raise fail(("tls",), "cert_file and key_file belong together: set both or neither")
    return msgspec.structs.replace(config, folder=path.parent.absolute())
