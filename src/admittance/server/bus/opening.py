"""The bus that ``[bus]`` asks for."""

import ssl

from admittance.errors import ConfigurationError
from admittance.server.bus.credentials import BusCredentials, parse_credentials
from admittance.server.bus.local import LocalBus
from admittance.server.bus.nats import NatsBus, NatsServers
from admittance.server.bus.port import Bus
from admittance.server.config import Config
from admittance.server.keys.file import read_secret


def open_bus(config: Config) -> Bus:
    """The configured bus, not yet started. Raises `ConfigurationError` that names the setting or file."""
    section = config.bus
    if not section.url:
        return LocalBus()
    urls = section.url.split(",")
    return NatsBus(
        NatsServers(
            urls=urls,
            prefix=section.prefix,
            tls=_tls(config) if urls[0].startswith("tls:") else None,
            credentials=_credentials(config),
        )
    )


def _credentials(config: Config) -> BusCredentials | None:
    name = config.bus.credentials_file
    if not name:
        return None
    return parse_credentials(read_secret(config.path(name)).decode("utf-8", "replace"))


def _tls(config: Config) -> ssl.SSLContext:
    section = config.bus
    try:
        context = ssl.create_default_context(cafile=config.path(section.ca_file) if section.ca_file else None)
        if section.cert_file:
            context.load_cert_chain(config.path(section.cert_file), config.path(section.key_file))
    except OSError as error:
        raise ConfigurationError(f"[bus] ca_file, cert_file or key_file can't be used: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
