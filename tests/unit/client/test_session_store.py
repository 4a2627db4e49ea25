"""What a client keeps between two commands."""

from pathlib import Path

import pytest

from admittance.client.session_store import SESSION_FILE, Session, SessionStore, default_directory, trust_context
from admittance.errors import AuthenticationFailed, ConfigurationError

SESSION = Session(
    origin="https://h.example",
    ca_pem=None,
    email="a@example.org",
    account_id="a1",
    access_token="the token",
    refresh_token="the next token",
    expires_at=1,
)


def test_a_session_is_kept_in_a_private_file(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "profile")
    store.save(SESSION)
    assert store.load() == SESSION
    assert (store.directory / SESSION_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in store.directory.iterdir()] == [SESSION_FILE]


def test_a_session_does_not_show_its_token() -> None:
    assert "the token" not in repr(SESSION)
    assert "the next token" not in repr(SESSION)


def test_without_a_login_the_person_is_told_how_to_log_in(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match="admit account login"):
        SessionStore(tmp_path).load()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"v": 1, "other": 2}'])
def test_a_damaged_session_is_an_error_of_configuration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / SESSION_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        SessionStore(tmp_path).load()


def test_a_session_that_others_can_read_is_refused(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    store.save(SESSION)
    (tmp_path / SESSION_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        store.load()


def test_the_key_is_made_once_and_forgotten_with_the_session(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    first = store.key().jkt
    assert store.key().jkt == first
    store.save(SESSION)
    store.clear()
    assert list(tmp_path.iterdir()) == []
    assert store.key().jkt != first


def test_the_profile_follows_the_desktops_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "admittance"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".config" / "admittance"


@pytest.mark.parametrize(
    "pem", ["", "not a certificate", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_file_without_certificates_is_an_error_of_configuration(pem: str) -> None:
    with pytest.raises(ConfigurationError):
        trust_context(pem)
