"""The registry of SMS providers: which name in `[sms] provider` gives which."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from admittance.errors import ConfigurationError
from admittance.server.config import Config
from admittance.server.keys.file import read_secret
from admittance.server.sms.http import HttpGateway, HttpProvider
from admittance.server.sms.port import SmsProvider


@dataclass(frozen=True)
class SmsSettings:
    """What the configuration says about sending messages."""

    url: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None


Factory = Callable[[SmsSettings], SmsProvider | None]


def _none(_settings: SmsSettings) -> None:
    return None


def _http(settings: SmsSettings) -> SmsProvider:
    if settings.token_file is None:
        raise ConfigurationError("[sms] token_file names no file")
    token = read_secret(settings.token_file).decode("utf-8", "surrogateescape").strip()
    return HttpProvider(HttpGateway(settings.url, token, _trust(settings.ca_file)))


def _trust(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(f"[sms] ca_file {ca_file} holds no certificate in PEM") from None


PROVIDERS: Mapping[str, Factory] = {"none": _none, "http": _http}


def provider_for(name: str, settings: SmsSettings) -> SmsProvider | None:
    """The provider that the configuration names, or None where no messages are sent.

    Raises:
        ConfigurationError: another name, or an unreadable file.
    """
    factory = PROVIDERS.get(name)
    if factory is None:
        raise ConfigurationError(f"[sms] provider {name!r} is unknown; write one of {', '.join(PROVIDERS)}")
    return factory(settings)


def configured_provider(config: Config) -> SmsProvider | None:
    """The provider of ``[sms]``, as `provider_for` gives it."""
    sms = config.sms
    return provider_for(
        sms.provider,
        SmsSettings(
            url=sms.url,
            token_file=config.path(sms.token_file) if sms.token_file else None,
            ca_file=config.path(sms.ca_file) if sms.ca_file else None,
        ),
    )
