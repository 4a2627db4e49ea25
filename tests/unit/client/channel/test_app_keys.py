"""The keys by which devices know an app."""

from pathlib import Path

import pytest

from admittance.client.channel.app_keys import CHANNEL_KEY_FILE, SIGNING_KEY_FILE, AppKeys
from admittance.client.session_store import SessionStore
from admittance.errors import ConfigurationError


def test_the_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    card = AppKeys.of_profile(tmp_path / "phone").card("phone")
    assert AppKeys.of_profile(tmp_path / "phone").card("phone") == card
    for name in (CHANNEL_KEY_FILE, SIGNING_KEY_FILE):
        assert (tmp_path / "phone" / name).stat().st_mode & 0o777 == 0o600


def test_each_purpose_has_its_own_key(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    card = store.app_keys().card("phone")
    assert card.channel != card.signing
    assert card.signing == store.app_keys().signer().spki


def test_a_login_ends_without_them(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    card = store.app_keys().card("phone")
    store.clear()
    assert store.app_keys().card("phone") == card


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    assert AppKeys.of_profile(tmp_path).card("x" * 100).name == "x" * 64


def test_a_damaged_key_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / CHANNEL_KEY_FILE).write_text("no key")
    (tmp_path / CHANNEL_KEY_FILE).chmod(0o600)
    with pytest.raises(ConfigurationError, match="recovery kit"):
        AppKeys.of_profile(tmp_path)
