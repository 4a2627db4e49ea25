"""Passwords: which are allowed (NIST SP 800-63B-4, section 3.1.1.2), and how they are kept (argon2id, RFC 9106).

A password has 12 to 128 characters, is no known breached password, neither by itself nor with only digits and
punctuation added behind it, and is not the account's own address.
"""

import asyncio
import hashlib
import string
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from admittance.errors import AuthenticationFailed, ConfigurationError, Malformed, Unavailable

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
Result = TypeVar("Result")
_DECORATION = string.digits + string.punctuation + " "


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def normalise(password: str) -> str:
    """Unicode normalisation, so that two keyboards give the same password the same bytes (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def read_breached_hashes(path: Path) -> frozenset[bytes]:
    """Read a breach list: one hexadecimal SHA-1 a line; what follows a colon is ignored (Have I Been Pwned's format).

    Raises:
        ConfigurationError: the file cannot be read, or a line holds no SHA-1.
    """
    hashes = set()
    try:
        with path.open(encoding="ascii") as lines:
            for number, line in enumerate(lines, start=1):
                text = line.strip()
                if not text:
                    continue
                digest = bytes.fromhex(text.partition(":")[0])
                if len(digest) != hashlib.sha1(usedforsecurity=False).digest_size:
                    raise ConfigurationError(f"{path}, line {number}: not a SHA-1 in hexadecimal.")
                hashes.add(digest)
    except OSError as error:
        raise ConfigurationError(f"The breach list {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The breach list {path} holds a line that is no SHA-1 in hexadecimal.") from error
    return frozenset(hashes)


class PasswordRules:
    """Decides which new passwords are allowed."""

    def __init__(self, breached_sha1: Iterable[bytes] = ()) -> None:
        self._breached_sha1 = frozenset(breached_sha1)

    def check(self, password: str, *, email: str) -> None:
        """Refuse a password that the rules forbid.

        Raises:
            Malformed: the message names the rule.
        """
        normalised = normalise(password)
        if not MIN_CHARACTERS <= len(normalised) <= MAX_CHARACTERS:
            raise Malformed(f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters.")
        folded = normalised.lower()
        bare = folded.rstrip(_DECORATION)
        if bare in (email, email.partition("@")[0]):
            raise Malformed("A password must not be your own address.")
        if len(set(folded)) < 4:
            raise Malformed("A password has at least four different characters.")
        if folded in _common_passwords() or bare in _common_passwords() or not bare or self._breached(normalised):
            raise Malformed("This password is on a list of stolen passwords. Choose another.")

    def _breached(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
        return digest in self._breached_sha1


class PasswordHashes:
    """Argon2id in worker threads, a bounded number at once.

    The defaults are the costs of the second option of RFC 9106, section 4, in one lane: 3 passes over 64 MiB. At most
    `concurrent` hashes are computed at once and `waiting` more may wait; beyond that callers are refused, so that
    a flood of logins exhausts neither memory nor the thread pool.
    """

    def __init__(self, *, memory_kib: int = 65536, passes: int = 3, concurrent: int = 2, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID, hash_len=32, salt_len=16
        )
        self._dummy = self._hasher.hash(hashlib.sha256(b"admittance/no such account").hexdigest())
        self._slots = asyncio.Semaphore(concurrent)
        self._admitted = 0
        self._limit = concurrent + waiting

    @property
    def parameters(self) -> str:
        """The costs of new hashes, as they stand in the hash itself."""
        return self._dummy.split("$")[3]

    async def make(self, password: str) -> str:
        """Hash a password.

        Raises:
            Unavailable: too many hashes are being computed.
        """
        return await self._run(lambda: self._hasher.hash(normalise(password)))

    async def verify(self, stored: str | None, password: str) -> None:
        """Compare a password with a stored hash. For an unknown account (`None`) the same work is done.

        Raises:
            AuthenticationFailed: another password, or no stored hash.
            Unavailable: too many hashes are being computed.
        """
        matches = await self._run(lambda: self._matches(stored or self._dummy, password))
        if stored is None or not matches:
            raise AuthenticationFailed("The address or the password is wrong.")

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, normalise(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._admitted >= self._limit:
            raise Unavailable("The server is checking too many passwords. Try again in a moment.")
        self._admitted += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._admitted -= 1
