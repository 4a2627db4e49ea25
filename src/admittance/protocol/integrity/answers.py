"""The answer to a challenge over measured files.

``answer = HMAC-SHA256(nonce, CBOR [label, challenge, client id, version, jkt, listing digest] | parts)`` where each
part is ``CBOR [path, offset, length] | bytes``. CBOR ends by itself, so no two questions share an input.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from admittance.errors import IntegrityRefused
from admittance.protocol.integrity.files import FileRange, ListedFile, listing_digest
from admittance.wire import cbor

_LABEL = "admittance/integrity-answer/1"


@dataclass(frozen=True)
class Subject:
    """Who answers what: the challenge's id and nonce, the app's client and version, the thumbprint of its key."""

    challenge: bytes
    nonce: bytes
    client_id: str
    version: str
    jkt: str


def compute(
    subject: Subject,
    *,
    listing: Iterable[ListedFile],
    ranges: Iterable[FileRange],
    read: Callable[[FileRange], bytes],
) -> bytes:
    """The answer, 32 bytes. `read` gives the bytes of a range, fewer where the file has fewer."""
    head = [_LABEL, subject.challenge, subject.client_id, subject.version, subject.jkt, listing_digest(listing)]
    mac = hmac.new(subject.nonce, cbor.encode(head), hashlib.sha256)
    for part in ranges:
        mac.update(cbor.encode([part.path, part.offset, part.length]))
        mac.update(read(part))
    return mac.digest()


def verify(answer: bytes, expected: bytes) -> None:
    """Raises `IntegrityRefused` unless the two are equal; in constant time."""
    if not hmac.compare_digest(answer, expected):
        raise IntegrityRefused("wrong")
