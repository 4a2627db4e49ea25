from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.premises import config

GOOD = """
[[networks]]
ssid = "Home"
passphrase = "correct horse"
signal_dbm = -48

[[networks]]
ssid = "mobile"
kind = "cellular"

[uplink]
hosts = ["localhost:8443", "[::1]:8444"]
"""


def test_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "premises.toml"
    file.write_text(GOOD)
    home, mobile = config.load(file).networks
    assert (home.ssid, home.address, home.uplink, home.kind) == ("Home", True, True, "wifi")
    assert (mobile.kind, mobile.passphrase) == ("cellular", "")


def test_endpoint_takes_host_and_port_apart() -> None:
    assert config.endpoint("Example.org:443") == ("example.org", 443)
    assert config.endpoint("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "TOML"),
        ("[[networks]]\nssid = 'a'\npasphrase = 'x'", "pasphrase"),
        ("[[networks]]\nssid = ''", "ssid"),
        ("[[networks]]\nssid = 'ääääääääääääääääääääääää'", "32 bytes"),
        ("[[networks]]\nssid = 'a'\npassphrase = 'short'", "8 to 63"),
        ("[[networks]]\nssid = 'a'\nsignal_dbm = 5", "signal_dbm"),
        ("[[networks]]\nssid = 'a'\n[[networks]]\nssid = 'a'", "same ssid"),
        ("[[networks]]\nssid = 'a'\nkind = 'cellular'\npassphrase = '12345678'", "cellular"),
        ("networks = []\n[uplink]\nhosts = ['localhost']", "host:port"),
        ("networks = []\n[uplink]\nhosts = ['localhost:99999']", "host:port"),
    ],
)
def test_mistake_is_named(text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        config.parse(text)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        config.load(tmp_path / "absent.toml")
