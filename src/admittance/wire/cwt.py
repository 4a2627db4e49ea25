"""CBOR Web Tokens: claims (RFC 8392; `exi` and `cnonce` of RFC 9200) and confirmation of possession (RFC 8747, 9203).

The claim -65537 is ours, of the range for private use: `OfflineStanding`.

Claims that are not listed here are refused: our own server wrote the token, and what a device doesn't understand it
can't enforce.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admittance.errors import Malformed
from admittance.wire import cbor, cose_key
from admittance.wire.channel import MAX_PERMISSIONS, Permission
from admittance.wire.cose import Encrypt
from admittance.wire.cose_key import CoseKey

MAX_TEXT: Final = 512
MAX_BYTES: Final = 64
MAX_TIME: Final = 2**53
GRANT_BYTES: Final = 16
_METHODS: Final = range(1, 32)

_ISS, _SUB, _AUD, _EXP, _NBF, _IAT, _CTI, _CNF, _SCOPE = 1, 2, 3, 4, 5, 6, 7, 8, 9
_CNONCE, _EXI = 39, 40
_STANDING = -65537
_COSE_KEY, _ENCRYPTED_KEY, _KID, _OSCORE = 1, 2, 3, 4
_INPUT_ID, _INPUT_VERSION, _INPUT_MS, _INPUT_HKDF, _INPUT_ALG, _INPUT_SALT, _INPUT_CONTEXT = range(7)


@dataclass(frozen=True, slots=True)
class KeyConfirmation:
    """The key itself (RFC 8747, section 3.2)."""

    key: CoseKey


@dataclass(frozen=True, slots=True)
class EncryptedKeyConfirmation:
    """The key, encrypted to a key that the audience has (Encrypted_COSE_Key; RFC 8747, section 3.3)."""

    encrypted: Encrypt


@dataclass(frozen=True, slots=True)
class KeyIdConfirmation:
    """A key that the audience has (RFC 8747, section 3.4)."""

    kid: bytes


@dataclass(frozen=True, slots=True)
class OscoreConfirmation:
    """OSCORE_Input_Material (RFC 9203, section 3.2.1). `algorithm` and `salt` are None for the defaults."""

    input_id: bytes
    master_secret: bytes = field(repr=False)
    algorithm: int | None = None
    salt: bytes | None = None
    context_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class OfflineStanding:
    """Where a token stands among those of its device: the owner's `epoch`, and a number of its own, `sequence`, that
    grows from token to token. It was issued for `grant` (16 bytes)."""

    epoch: int
    sequence: int
    grant: bytes


Confirmation = KeyConfirmation | EncryptedKeyConfirmation | KeyIdConfirmation | OscoreConfirmation


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token; None, or empty, where one is absent. Times are Unix seconds.

    `scope` is text, or AIF permissions (RFC 9237) as a tuple; `exi_s` counts from when the device got the token.
    """

    issuer: str = ""
    subject: str = ""
    audience: str = ""
    expires_at: int | None = None
    not_before: int | None = None
    issued_at: int | None = None
    cti: bytes = b""
    confirmation: Confirmation | None = None
    scope: str | tuple[Permission, ...] = ""
    cnonce: bytes = b""
    exi_s: int | None = None
    standing: OfflineStanding | None = None


def encode(claims: Claims) -> bytes:
    """The claims set as deterministic CBOR; what is absent is left out."""
    confirmation = None if claims.confirmation is None else encode_confirmation(claims.confirmation)
    values: dict[int, object] = {
        _ISS: claims.issuer or None,
        _SUB: claims.subject or None,
        _AUD: claims.audience or None,
        _EXP: claims.expires_at,
        _NBF: claims.not_before,
        _IAT: claims.issued_at,
        _CTI: claims.cti or None,
        _CNF: confirmation,
        _SCOPE: encode_scope(claims.scope) or None,
        _CNONCE: claims.cnonce or None,
        _EXI: claims.exi_s,
        _STANDING: None if claims.standing is None else _encode_standing(claims.standing),
    }
    return cbor.encode({label: value for label, value in values.items() if value is not None})


def decode(data: bytes) -> Claims:
    """The claims in `data`. Raises `Malformed`."""
    values = _map(cbor.decode(data), "claims")
    read = {label: _READERS[label](value) for label, value in values.items() if label in _READERS}
    if len(read) != len(values):
        raise Malformed("a token with a claim that is not known")
    return Claims(**{_NAMES[label]: value for label, value in read.items()})


def encode_confirmation(confirmation: Confirmation) -> dict[int, object]:
    """The value of a ``cnf`` claim."""
    match confirmation:
        case KeyConfirmation(key):
            return {_COSE_KEY: cose_key.to_map(key)}
        case EncryptedKeyConfirmation(encrypted):
            return {_ENCRYPTED_KEY: encrypted.to_list()}
        case KeyIdConfirmation(kid):
            return {_KID: kid}
        case OscoreConfirmation():
            return {_OSCORE: _encode_input(confirmation)}


def decode_confirmation(value: object) -> Confirmation:
    """The confirmation in the value of a ``cnf`` claim, which has exactly one member. Raises `Malformed`."""
    match list(_map(value, "confirmation").items()):
        case [(1, key)]:
            return KeyConfirmation(cose_key.from_map(key))
        case [(2, encrypted)]:
            return EncryptedKeyConfirmation(Encrypt.from_list(encrypted))
        case [(3, bytes(kid))] if 0 < len(kid) <= MAX_BYTES:
            return KeyIdConfirmation(kid)
        case [(4, material)]:
            return _decode_input(_map(material, "OSCORE input material"))
    raise Malformed("a confirmation that is not used here")


def _encode_input(confirmation: OscoreConfirmation) -> dict[int, object]:
    values: dict[int, object] = {
        _INPUT_ID: confirmation.input_id,
        _INPUT_MS: confirmation.master_secret,
        _INPUT_ALG: confirmation.algorithm,
        _INPUT_SALT: confirmation.salt,
        _INPUT_CONTEXT: confirmation.context_id,
    }
    return {label: value for label, value in values.items() if value is not None}


def _decode_input(values: Mapping[int, Any]) -> OscoreConfirmation:
    match values:
        case {0: bytes(input_id), 2: bytes(master_secret), **rest}:
            pass
        case _:
            raise Malformed("OSCORE input material without id or master secret")
    algorithm, salt, context_id = (rest.pop(label, None) for label in (_INPUT_ALG, _INPUT_SALT, _INPUT_CONTEXT))
    is_known = not rest and isinstance(algorithm, int | None) and not isinstance(algorithm, bool)
    if not is_known or not isinstance(salt, bytes | None) or not isinstance(context_id, bytes | None):
        raise Malformed("OSCORE input material with parameters that are not used here")
    return OscoreConfirmation(input_id, master_secret, algorithm, salt, context_id)


def _encode_standing(standing: OfflineStanding) -> list[object]:
    return [standing.epoch, standing.sequence, standing.grant]


def _standing(value: object) -> OfflineStanding:
    match value:
        case [epoch, sequence, bytes(grant)] if len(grant) == GRANT_BYTES:
            return OfflineStanding(_number(epoch), _number(sequence), grant)
    raise Malformed("a standing that is not an epoch, a sequence and a grant")


def encode_scope(scope: str | tuple[Permission, ...]) -> str | bytes:
    """The value of a ``scope``: text, or AIF permissions as a byte string (RFC 9237, section 3)."""
    if isinstance(scope, str):
        return scope
    return cbor.encode([[permission.path, permission.methods] for permission in scope])


def decode_scope(value: object) -> str | tuple[Permission, ...]:
    """The scope in a value. Raises `Malformed`."""
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, bytes):
        raise Malformed("a scope that is neither text nor bytes")
    listed = cbor.decode(value)
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_PERMISSIONS:
        raise Malformed("a scope that lists no permissions, or too many")
    return tuple(_permission(each) for each in listed)


def _permission(value: object) -> Permission:
    match value:
        case [str(path), int(methods)] if path.startswith("/") and len(path) <= 128 and methods in _METHODS:
            return Permission(path, methods)
    raise Malformed("a permission that is not a path with its methods")


def _map(value: object, what: str) -> dict[int, Any]:
    if not isinstance(value, dict) or not all(isinstance(label, int) for label in value):
        raise Malformed(f"{what} that are not a map with integer labels")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise Malformed("a claim that is not a text of sensible length")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_BYTES:
        raise Malformed("a claim that is not a byte string of sensible length")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TIME:
        raise Malformed("a claim that is not a time or a count")
    return value


_NAMES: Final = {
    _ISS: "issuer",
    _SUB: "subject",
    _AUD: "audience",
    _EXP: "expires_at",
    _NBF: "not_before",
    _IAT: "issued_at",
    _CTI: "cti",
    _CNF: "confirmation",
    _SCOPE: "scope",
    _CNONCE: "cnonce",
    _EXI: "exi_s",
    _STANDING: "standing",
}
_READERS: Final[dict[int, Callable[[object], Any]]] = {
    _ISS: _text,
    _SUB: _text,
    _AUD: _text,
    _EXP: _number,
    _NBF: _number,
    _IAT: _number,
    _CTI: _bytes,
    _CNF: decode_confirmation,
    _SCOPE: decode_scope,
    _CNONCE: _bytes,
    _EXI: _number,
    _STANDING: _standing,
}
