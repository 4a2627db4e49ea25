from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import ConfigurationError
from admittance.server.config import Config, load_config, parse_address


def load(tmp_path: Path, content: str) -> Config:
    path = tmp_path / "admittance.toml"
    path.write_text(content)
    return load_config(path)


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None)
    assert config.server.origin == "https://localhost:8443"
    assert config.data_dir == tmp_path / "admittance-data"
    assert config.database_url == f"sqlite+aiosqlite:///{tmp_path}/admittance-data/admittance.db"
    assert (config.first_contact_url, config.device_url) == ("https://localhost:8444", "https://localhost:8445")


def test_the_relay_is_beside_the_origin_where_nothing_else_is_said(tmp_path: Path) -> None:
    config = load(tmp_path, "[server]\norigin = 'https://[::1]:8443'\napp_relay_urls = ['wss://relay.example']")
    assert config.app_relay_urls == ("wss://relay.example",)
    assert config.device_relay_urls == ("wss://[::1]:8447",)


def test_without_the_relays_listeners_there_is_no_relay(tmp_path: Path) -> None:
    config = load(tmp_path, "[listen]\napp_relay = ''\ndevice_relay = ''")
    assert not config.has_relay
    assert config.app_relay_urls == config.device_relay_urls == ()


def test_certificates_are_asked_for_where_the_file_says_so(tmp_path: Path) -> None:
    assert load(tmp_path, "").mtls_url == ""
    assert load(tmp_path, "[listen]\nmtls = '127.0.0.1:8448'").mtls_url == "https://localhost:8448"
    named = "[server]\nmtls_url = 'https://mtls.example'\n[listen]\nmtls = '127.0.0.1:8448'"
    assert load(tmp_path, named).mtls_url == "https://mtls.example"


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == msgspec.structs.replace(Config(), folder=tmp_path)


def test_every_section_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [server]
        origin = "https://devices.example"
        data_dir = "state"
        [database]
        url = "postgresql+asyncpg://admittance@db/admittance"
        [mail]
        smtp = "smtp://mail.example:25"
        from = "devices@example.com"
        [models.lamp]
        display_name = "Lamp"
        presence = "display"
        makers = ["acme"]
        [makers.acme]
        ca_file = "acme.pem"
        """,
    )
    assert config.data_dir == tmp_path / "state"
    assert config.database_url == "postgresql+asyncpg://admittance@db/admittance"
    assert config.mail.sender == "devices@example.com"
    assert config.models["lamp"].minimum_assurance == "listed"
    assert config.path(config.makers["acme"].ca_file) == tmp_path / "acme.pem"
    assert config.device_url == "https://devices.example:8445"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[server]\n\norigni = 'x'", "line 3: server.origni: unknown setting; did you mean 'origin'?"),
        ("[servr]\norigin = 'x'", "line 1: servr: unknown setting; did you mean 'server'?"),
        (
            "[models.a]\ndisplayname = 'x'",
            "line 2: models.a.displayname: unknown setting; did you mean",
        ),
        ("[log]\nzzz = 1", "line 2: log.zzz: unknown setting; known here: format, level"),
        ("folder = '/'", "folder: unknown setting"),
        ("[policy]\nquota = 'many'", "line 2: policy.quota: Expected `int`, got `str`"),
        ("[policy]\ncertificate_ttl_s = 604801", "policy.certificate_ttl_s: Expected `int` <= 604800"),
        ("[models.a]\ndisplay_name = 'A'\npresence = 'none'", "line 3: models.a.presence: Invalid enum value"),
        ("[models.a]\ndisplay_name = 'A'", "line 1: models.a: Object missing required field `presence`"),
        ("[server]\norigin = 'http://x'", "line 2: server.origin: write an origin"),
        ("[server]\norigin = 'https://x/path'", "server.origin: write an origin"),
        ("[server]\norigin = 'https://x:port'", "server.origin: write an origin"),
        ("[server]\ndevice_url = 'x'", "server.device_url: write an origin"),
        ("[server]\nmtls_url = 'https://x/'\n[listen]\nmtls = '[::]:1'", "line 2: server.mtls_url: write an origin"),
        ("[server]\nmtls_url = 'https://x'", "line 2: server.mtls_url: set [listen] mtls too"),
        ("[listen]\nmtls = '8448'", "line 2: listen.mtls: '8448' is no address"),
        ("[listen]\ndevice = '8443'", "line 2: listen.device: '8443' is no address"),
        ("[listen]\napp_relay = ''", "line 1: listen: app_relay and device_relay belong together"),
        ("[listen]\ndevice_relay = '8447'", "line 2: listen.device_relay: '8447' is no address"),
        (
            "[listen]\napp_relay = ''\ndevice_relay = ''\ndevice_relay_plain = '[::]:80'",
            "line 4: listen.device_relay_plain: set app_relay and device_relay too",
        ),
        ("[server]\napp_relay_urls = ['https://x']", "line 2: server.app_relay_urls: write at most 4 of wss://"),
        ("[server]\ndevice_relay_urls = ['ws://x']", "line 2: server.device_relay_urls: write at most 4 of wss://"),
        ("[server]\napp_relay_urls = ['wss://x/relay']", "line 2: server.app_relay_urls: write at most 4 of wss://"),
        ("[server]\ndevice_relay_urls = [1]", "server.device_relay_urls"),
        ("[relay]\nsilence_s = 1", "line 2: relay.silence_s: Expected `int` >= 3"),
        ("[tls]\ncert_file = 'x'", "line 1: tls: cert_file and key_file belong together"),
        ("[database]\nurl = 'postgresql+asyncpg://a:hunter2@h/d'", "line 2: database.url: take the password out"),
        ("[mail]\nsmtp = 'mail.example'", "mail.smtp: write smtp://host:port"),
        ("[models.a]\ndisplay_name = 'A'\npresence = 'button'\nmakers = ['b']", "there is no [makers.b]"),
        ("models = 1", "models: Expected `object`, got `int`"),
        ("[models]\na = 1", "models.a: Expected `object`, got `int`"),
        ("= 1", "is not TOML"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, content)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    for name in ("missing.toml", "binary.toml", "."):
        with pytest.raises(ConfigurationError, match=str(tmp_path)):
            load_config(tmp_path / name)


def test_configuration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().server.origin = "https://elsewhere"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:8443", ("::1", 8443)), ("localhost:65535", ("localhost", 65535))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_configuration_error(text: str) -> None:
    try:
        host, port = parse_address(text)
    except ConfigurationError:
        return
    assert host
    assert 0 < port < 65536
