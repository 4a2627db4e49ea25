"""Which passwords are allowed, and how they are kept."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from admittance.errors import AuthenticationFailed, ConfigurationError, Malformed, Unavailable
from admittance.server.accounts.passwords import PasswordHashes, PasswordRules, read_breached_hashes

EMAIL = "anna.berg@example.org"


@pytest.mark.parametrize(
    "password", ["correct horse battery", "ключ от квартиры", "x" * 60 + "abc" * 22, "a-b-c-d-e-f-"]
)
def test_good_passwords_pass(password: str) -> None:
    PasswordRules().check(password, email=EMAIL)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "12 to 128"),
        ("elevenchars", "12 to 128"),
        ("correct horse " * 10, "12 to 128"),
        ("justinbieber", "stolen"),
        ("JustinBieber!2", "stolen"),
        ("password1234", "stolen"),
        ("123456789012", "stolen"),
        ("abababababababab", "four different"),
        (EMAIL, "own address"),
        ("anna.berg2026", "own address"),
    ],
)
def test_bad_passwords_are_refused_with_the_rule(password: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        PasswordRules().check(password, email=EMAIL)


def test_an_operators_list_is_respected(tmp_path: Path) -> None:
    listed = "quite fine otherwise"
    file = tmp_path / "breached.txt"
    file.write_text(hashlib.sha1(listed.encode()).hexdigest().upper() + ":42\n\n")
    rules = PasswordRules(read_breached_hashes(file))
    with pytest.raises(Malformed, match="stolen"):
        rules.check(listed, email=EMAIL)
    rules.check("another one, fine", email=EMAIL)


@pytest.mark.parametrize("content", ["abcd\n", "not hexadecimal\n", "é"])
def test_a_broken_list_is_an_error_of_configuration(tmp_path: Path, content: str) -> None:
    file = tmp_path / "breached.txt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        read_breached_hashes(file)


def test_a_missing_list_is_an_error_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_breached_hashes(tmp_path / "none")


def test_the_default_cost_is_that_of_rfc_9106() -> None:
    assert PasswordHashes().parameters == "m=65536,t=3,p=1"


async def test_a_hash_is_argon2id_and_holds_for_its_password_alone() -> None:
    hashes = PasswordHashes(memory_kib=64, passes=1)
    stored = await hashes.make("correct horse battery")
    assert stored.startswith("$argon2id$")
    await hashes.verify(stored, "correct horse battery")
    with pytest.raises(AuthenticationFailed):
        await hashes.verify(stored, "correct horse batterx")
    with pytest.raises(AuthenticationFailed):
        await hashes.verify(None, "correct horse battery")


async def test_the_same_password_from_another_keyboard_is_the_same() -> None:
    hashes = PasswordHashes(memory_kib=64, passes=1)
    await hashes.verify(await hashes.make("Schlüssel zum Haus"), "Schlu\u0308ssel zum Haus")


async def test_a_flood_is_refused_instead_of_queued() -> None:
    hashes = PasswordHashes(memory_kib=64, passes=1, concurrent=1, waiting=2)
    results = await asyncio.gather(*(hashes.make("password") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 7
    assert sum(isinstance(result, str) for result in results) == 3
    await hashes.make("password")
