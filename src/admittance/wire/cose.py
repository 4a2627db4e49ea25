"""COSE_Sign1, COSE_Encrypt0 and COSE_Encrypt (RFC 9052) as frozen values.

Only what our messages use: integer header labels, the algorithm in the protected header, embedded payloads, no
countersignatures and no critical headers; a COSE_Encrypt has one recipient. The CBOR tags 18 and 16 are accepted in
front of a message and never written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from admittance.errors import Malformed
from admittance.wire import cbor

ES256 = -7
EDDSA = -8
A128GCM = 1
A256GCM = 3
ECDH_ES_HKDF_256 = -25

ALG = 1
CRIT = 2
KID = 4
IV = 5
X5CHAIN = 33
EPHEMERAL_KEY = -1

Headers = Mapping[int, object]

_TAG_SIGN1 = b"\xd2"
_TAG_ENCRYPT0 = b"\xd0"


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1 message (RFC 9052, section 4.2). `protected_bytes` are the exact bytes that were signed."""

    protected_bytes: bytes
    payload: bytes
    signature: bytes
    unprotected: Headers = field(default_factory=dict)

    @property
    def protected(self) -> Headers:
        return _protected(self.protected_bytes)

    @property
    def algorithm(self) -> int:
        """The algorithm (header 1)."""
        return _algorithm(self.protected)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates of `x5chain` (RFC 9360), leaf first; empty if there are none."""
        return _chain(self.protected)

    def encode(self) -> bytes:
        return cbor.encode([self.protected_bytes, dict(self.unprotected), self.payload, self.signature])

    @classmethod
    def decode(cls, data: bytes, max_bytes: int = 16384) -> "Sign1":
        """Decode a message. Raises `Malformed`."""
        items = _array(data, _TAG_SIGN1, 4, max_bytes)
        protected, unprotected, payload, signature = items
        if not isinstance(payload, bytes) or not isinstance(signature, bytes):
            raise Malformed("COSE_Sign1 without payload or signature")
        protected_bytes, headers = _checked_headers(protected, unprotected)
        return cls(protected_bytes, payload, signature, headers)


@dataclass(frozen=True, slots=True)
class Encrypt0:
    """A COSE_Encrypt0 message (RFC 9052, section 5.2)."""

    protected_bytes: bytes
    ciphertext: bytes
    unprotected: Headers = field(default_factory=dict)

    @property
    def protected(self) -> Headers:
        return _protected(self.protected_bytes)

    @property
    def algorithm(self) -> int:
        return _algorithm(self.protected)

    def encode(self) -> bytes:
        return cbor.encode([self.protected_bytes, dict(self.unprotected), self.ciphertext])

    @classmethod
    def decode(cls, data: bytes, max_bytes: int = 16384) -> "Encrypt0":
        """Decode a message. Raises `Malformed`."""
        protected, unprotected, ciphertext = _array(data, _TAG_ENCRYPT0, 3, max_bytes)
        if not isinstance(ciphertext, bytes):
            raise Malformed("COSE_Encrypt0 without ciphertext")
        protected_bytes, headers = _checked_headers(protected, unprotected)
        return cls(protected_bytes, ciphertext, headers)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a COSE_Encrypt is for, where both sides agree on its key directly (RFC 9052, section 8.5.4)."""

    protected_bytes: bytes
    unprotected: Headers

    @property
    def algorithm(self) -> int:
        return _algorithm(_protected(self.protected_bytes))


@dataclass(frozen=True, slots=True)
class Encrypt:
    """A COSE_Encrypt message (RFC 9052, section 5.1) for one recipient, with no encrypted key of its own."""

    protected_bytes: bytes
    ciphertext: bytes
    recipient: Recipient
    unprotected: Headers = field(default_factory=dict)

    @property
    def algorithm(self) -> int:
        return _algorithm(_protected(self.protected_bytes))

    def to_list(self) -> list[object]:
        """The message as it stands inside another CBOR value."""
        recipient = [self.recipient.protected_bytes, dict(self.recipient.unprotected), b""]
        return [self.protected_bytes, dict(self.unprotected), self.ciphertext, [recipient]]

    @classmethod
    def from_list(cls, value: object) -> "Encrypt":
        """The message in what `to_list` gives. Raises `Malformed`."""
        match value:
            case [protected, unprotected, bytes(ciphertext), [[for_protected, for_unprotected, b""]]]:
                protected_bytes, headers = _checked_headers(protected, unprotected)
                recipient = Recipient(*_checked_headers(for_protected, for_unprotected))
                return cls(protected_bytes, ciphertext, recipient, headers)
        raise Malformed("not a COSE_Encrypt with one recipient that agrees on the key directly")


def protected_header(headers: Headers) -> bytes:
    """Encode a protected header; the empty one is the empty byte string (RFC 9052, section 3)."""
    return cbor.encode(dict(headers)) if headers else b""


def signature_input(protected_bytes: bytes, payload: bytes, external_aad: bytes) -> bytes:
    """The Sig_structure that a COSE_Sign1 signs (RFC 9052, section 4.4)."""
    return cbor.encode(["Signature1", protected_bytes, external_aad, payload])


def encryption_aad(protected_bytes: bytes, external_aad: bytes) -> bytes:
    """The Enc_structure that a COSE_Encrypt0 authenticates (RFC 9052, section 5.3)."""
    return cbor.encode(["Encrypt0", protected_bytes, external_aad])


def recipients_encryption_aad(protected_bytes: bytes) -> bytes:
    """The Enc_structure that a COSE_Encrypt authenticates (RFC 9052, section 5.3)."""
    return cbor.encode(["Encrypt", protected_bytes, b""])


def kdf_context(algorithm: int, key_bits: int, recipient_protected: bytes) -> bytes:
    """The COSE_KDF_Context of a key for `algorithm` where nothing is known of the parties (RFC 9053, section 5.2)."""
    nobody = [None, None, None]
    return cbor.encode([algorithm, nobody, nobody, [key_bits, recipient_protected]])


def _array(data: bytes, tag: bytes, length: Literal[3, 4], max_bytes: int) -> list[object]:
    value = cbor.decode(data.removeprefix(tag), max_bytes)
    if not isinstance(value, list) or len(value) != length:
        raise Malformed(f"COSE message that is not an array of {length}")
    return value


def _checked_headers(protected_bytes: object, unprotected: object) -> tuple[bytes, Headers]:
    """The protected header's bytes and the unprotected header, both checked (RFC 9052, section 3)."""
    if not isinstance(protected_bytes, bytes):
        raise Malformed("COSE protected header that is not a byte string")
    protected, headers = _protected(protected_bytes), _headers(unprotected)
    if protected.keys() & headers.keys():
        raise Malformed("COSE header label that is both protected and unprotected")
    if CRIT in protected or CRIT in headers:
        raise Malformed("COSE message with critical headers")
    _algorithm(protected)
    _chain(protected)
    return protected_bytes, headers


def _chain(headers: Headers) -> tuple[bytes, ...]:
    """COSE_X509 is one certificate, or an array of two and more (RFC 9360, section 2)."""
    value = headers.get(X5CHAIN)
    if value is None and X5CHAIN not in headers:
        return ()
    if isinstance(value, bytes):
        return (value,)
    if not isinstance(value, list) or len(value) < 2:
        raise Malformed("x5chain is neither a certificate nor a list of certificates")
    if not all(isinstance(certificate, bytes) for certificate in value):
        raise Malformed("x5chain holds something that is not a certificate")
    return tuple(value)


def _protected(data: bytes) -> Headers:
    return _headers(cbor.decode(data)) if data else {}


def _headers(value: object) -> Headers:
    if not isinstance(value, dict) or not all(isinstance(label, int) for label in value):
        raise Malformed("COSE header that is not a map with integer labels")
    return cast(Headers, value)


def _algorithm(headers: Headers) -> int:
    algorithm = headers.get(ALG)
    if not isinstance(algorithm, int) or isinstance(algorithm, bool):
        raise Malformed("COSE message without an algorithm in its protected header")
    return algorithm
