"""Searching a password in what was stored and sent: itself in any writing, and what anybody could derive from it and
test guesses with. A guess that is right shows here; so would every other guess be told from it.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import suppress

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import Malformed
from admittance.wire import cbor

DIGESTS = ("md5", "sha1", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s")
ROUNDS = (1, 1000)
MIN_BYTES = 8
LONGEST_SALT = 64
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{10,}")
_WORD = re.compile(r"[A-Za-z0-9_-]{8,}")


def writings(password: str) -> set[bytes]:
    """The password as it may be written somewhere."""
    texts = {password, password.lower(), password.upper(), password[::-1], urllib.parse.quote(password, safe="")}
    texts.add(json.dumps(password)[1:-1])
    plain = {text.encode(encoding) for text in texts for encoding in ("utf-8", "utf-16-le", "utf-16-be")}
    raw = password.encode()
    aligned = {base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)}
    return plain | aligned | {raw.hex().encode(), raw.hex().upper().encode()}


def holds(haystack: bytes, password: str) -> bool:
    """Whether the password is written there."""
    return any(writing in haystack for writing in writings(password))


def derived(password: str, salts: Iterable[bytes]) -> Iterator[bytes]:
    """What is usually made of a password and of something that is known, such as a salt or a key."""
    known = {b"", *salts}
    for secret in {password.encode(), password.lower().encode(), password.encode("utf-16-le")}:
        for name in DIGESTS:
            for salt in known:
                yield hashlib.new(name, salt + secret, usedforsecurity=False).digest()
                yield hashlib.new(name, secret + salt, usedforsecurity=False).digest()
                yield hmac.digest(salt, secret, name)
                yield hmac.digest(secret, salt, name)
        for salt in known:
            yield HKDF(hashes.SHA256(), 32, salt, b"").derive(secret)
            yield from (hashlib.pbkdf2_hmac("sha256", secret, salt, rounds, 32) for rounds in ROUNDS)


def traces(haystack: bytes, password: str, salts: Iterable[bytes]) -> list[bytes]:
    """The derived values of which the beginning is somewhere in what was stored and sent, however it is written."""
    windows = {
        text[start : start + MIN_BYTES]
        for text in {haystack, *decoded(haystack)}
        for start in range(len(text) - MIN_BYTES + 1)
    }
    return [value for value in derived(password, salts) if value[:MIN_BYTES] in windows]


def decoded(haystack: bytes) -> Iterator[bytes]:
    """What is written there in base64, base64url or hexadecimal."""
    for run in set(_RUN.findall(haystack)):
        with suppress(ValueError):
            yield bytes.fromhex(run.decode())
        for shift in range(4):
            whole = run[shift : len(run) - (len(run) - shift) % 4].translate(bytes.maketrans(b"-_", b"+/"))
            with suppress(binascii.Error):
                yield base64.b64decode(whole, validate=True)


def leaves(value: object) -> Iterator[bytes]:
    """The values of which others are made up: of a row, of JSON or CBOR, the words of a text."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, bytes):
        yield value
        try:
            inner = cbor.decode(value)
        except Malformed:
            return
        if not isinstance(inner, int | bytes):
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value.encode()
        yield from (word.encode() for word in _WORD.findall(value))


def secrets_in(values: Iterable[object]) -> set[bytes]:
    """The leaves that are long enough to tell anything."""
    return {leaf for value in values for leaf in leaves(value) if len(leaf) >= MIN_BYTES}
