"""The keys of access tokens through their roll-over, at the exact second."""

from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.server.keys.token_keys import KEPT_S, LOOK_AGAIN_S, MIN_NOTICE_S, TokenKeys, create_token_key

NOW = 1_800_000_000


@pytest.fixture
def keys(tmp_path: Path) -> TokenKeys:
    create_token_key(tmp_path, 0)
    return TokenKeys(tmp_path)


def test_a_next_key_is_published_at_once_and_signs_at_its_time(keys: TokenKeys) -> None:
    first = keys.signing(NOW)
    begins = keys.roll(NOW, MIN_NOTICE_S)
    assert begins == NOW + MIN_NOTICE_S
    assert len(keys.published(NOW)) == 2
    assert keys.signing(begins - 1) == first
    second = keys.signing(begins)
    assert second.kid != first.kid
    assert {key.kid for key in keys.published(begins + KEPT_S - 1)} == {first.kid, second.kid}
    assert keys.published(begins + KEPT_S) == (second,)


def test_another_node_finds_the_key_before_it_signs(keys: TokenKeys, tmp_path: Path) -> None:
    other = TokenKeys(tmp_path)
    assert len(other.published(NOW)) == 1
    begins = keys.roll(NOW, MIN_NOTICE_S)
    assert len(other.published(NOW + LOOK_AGAIN_S)) == 2
    assert other.signing(begins).kid == keys.signing(begins).kid


def test_two_next_keys_and_hasty_ones_are_refused(keys: TokenKeys) -> None:
    with pytest.raises(ConfigurationError, match="published"):
        keys.roll(NOW, MIN_NOTICE_S - 1)
    keys.roll(NOW, MIN_NOTICE_S)
    with pytest.raises(ConfigurationError, match="wait"):
        keys.roll(NOW + 1, MIN_NOTICE_S)


def test_making_a_key_again_changes_nothing(keys: TokenKeys, tmp_path: Path) -> None:
    before = keys.signing(NOW).kid
    create_token_key(tmp_path, 0)
    assert TokenKeys(tmp_path).signing(NOW).kid == before


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_an_error_of_configuration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token-signing-0.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="private key"):
        TokenKeys(tmp_path).signing(NOW)


def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="backup"):
        TokenKeys(tmp_path).signing(NOW)
