"""The maps of ACE-OAuth in CBOR: token requests and responses, authz-info, hints (RFC 9200, 9201, 9203).

Labels and values are those of IANA's ACE registries. A map is taken in deterministic CBOR, and with the parameters of
its place alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admittance.errors import Malformed
from admittance.wire import cbor, cwt
from admittance.wire.channel import Permission
from admittance.wire.cwt import Confirmation

CLIENT_CREDENTIALS: Final = 2
"""The value of ``grant_type`` (RFC 9200, section 8.5)."""
PROOF_OF_POSSESSION: Final = 2
"""The value of ``token_type`` (RFC 9200, section 8.7)."""
COAP_OSCORE: Final = 2
"""The value of ``ace_profile`` (RFC 9203, section 9.1)."""

INVALID_REQUEST: Final = 1
INVALID_CLIENT: Final = 2
INVALID_GRANT: Final = 3
UNAUTHORIZED_CLIENT: Final = 4
UNSUPPORTED_GRANT_TYPE: Final = 5
INVALID_SCOPE: Final = 6
UNSUPPORTED_POP_KEY: Final = 7
INCOMPATIBLE_ACE_PROFILES: Final = 8
"""The last of the values of ``error`` (RFC 9200, section 8.4)."""

MAX_ID_BYTES: Final = 7
MIN_NONCE_BYTES: Final = 8
MAX_NONCE_BYTES: Final = 32
MAX_TOKEN_BYTES: Final = 4096
MAX_TEXT: Final = 512
MAX_SECRET_BYTES: Final = 128

_ACCESS_TOKEN, _EXPIRES_IN, _REQ_CNF, _AUDIENCE, _CNF, _SCOPE = 1, 2, 4, 5, 8, 9
_CLIENT_ID, _CLIENT_SECRET, _ERROR, _ERROR_DESCRIPTION = 24, 25, 30, 31
_GRANT_TYPE, _TOKEN_TYPE, _ACE_PROFILE, _CNONCE = 33, 34, 38, 39
_NONCE1, _RS_CNF, _NONCE2, _CLIENT_RECIPIENT_ID, _SERVER_RECIPIENT_ID = 40, 41, 42, 43, 44
_AUTHORIZATION_SERVER, _KID = 1, 2

Scope = str | tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class AuthzInfo:
    """A token for a resource server, with the client's nonce and the id by which the client will know the context.

    Nonce and id are both there, or, in a protected message, neither (RFC 9203, section 4.1).
    """

    access_token: bytes
    nonce1: bytes = b""
    client_id: bytes | None = None

    def encode(self) -> bytes:
        return _encode({_ACCESS_TOKEN: self.access_token, _NONCE1: self.nonce1, _CLIENT_RECIPIENT_ID: self.client_id})

    @classmethod
    def decode(cls, data: bytes) -> "AuthzInfo":
        """Raises `Malformed`."""
        values = _decode(data, _AUTHZ_INFO, MAX_TOKEN_BYTES + 128)
        if "access_token" not in values or ("nonce1" in values) != ("client_id" in values):
            raise Malformed("an authz-info request that lacks a parameter")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class AuthzInfoAnswer:
    """The resource server's nonce, and the id by which it will know the context (RFC 9203, section 4.2)."""

    nonce2: bytes
    server_id: bytes

    def encode(self) -> bytes:
        return _encode({_NONCE2: self.nonce2, _SERVER_RECIPIENT_ID: self.server_id})

    @classmethod
    def decode(cls, data: bytes) -> "AuthzInfoAnswer":
        """Raises `Malformed`."""
        values = _decode(data, _AUTHZ_INFO_ANSWER, 128)
        if len(values) != len(_AUTHZ_INFO_ANSWER):
            raise Malformed("an authz-info answer that lacks a parameter")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class RequestHints:
    """Where a token for a resource server is to be had: AS Request Creation Hints (RFC 9200, section 5.3)."""

    authorization_server: str
    audience: str = ""
    scope: Scope = ""
    kid: bytes = b""
    cnonce: bytes = b""

    def encode(self) -> bytes:
        return _encode(
            {
                _AUTHORIZATION_SERVER: self.authorization_server,
                _KID: self.kid,
                _AUDIENCE: self.audience,
                _SCOPE: cwt.encode_scope(self.scope),
                _CNONCE: self.cnonce,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "RequestHints":
        """Raises `Malformed`."""
        values = _decode(data, _REQUEST_HINTS, 2048)
        if "authorization_server" not in values:
            raise Malformed("hints without an authorization server")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint (RFC 9200, section 5.8.1; ``req_cnf`` of RFC 9201). What is absent is empty.

    `asks_profile` is a profile of null: the client asks which one to use.
    """

    grant_type: int = CLIENT_CREDENTIALS
    client_id: str = ""
    client_secret: bytes = field(default=b"", repr=False)
    audience: str = ""
    scope: Scope = ""
    confirmation: Confirmation | None = None
    asks_profile: bool = False
    cnonce: bytes = b""

    def encode(self) -> bytes:
        values: dict[int, object] = {
            _REQ_CNF: _encode_cnf(self.confirmation),
            _AUDIENCE: self.audience,
            _SCOPE: cwt.encode_scope(self.scope),
            _CLIENT_ID: self.client_id,
            _CLIENT_SECRET: self.client_secret,
            _GRANT_TYPE: self.grant_type,
            _CNONCE: self.cnonce,
        }
        return _encode(values, {_ACE_PROFILE: None} if self.asks_profile else {})

    @classmethod
    def decode(cls, data: bytes) -> "TokenRequest":
        """Raises `Malformed`. A request without ``grant_type`` is one for client credentials (section 5.8.1)."""
        return cls(**_decode(data, _TOKEN_REQUEST, 4096))


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A granted token (RFC 9200, section 5.8.2). `scope` is empty where it is what was asked for."""

    access_token: bytes = field(repr=False)
    expires_in_s: int | None = None
    scope: Scope = ""
    token_type: int | None = None
    profile: int | None = None
    confirmation: Confirmation | None = None
    server_confirmation: Confirmation | None = None

    def encode(self) -> bytes:
        return _encode(
            {
                _ACCESS_TOKEN: self.access_token,
                _EXPIRES_IN: self.expires_in_s,
                _CNF: _encode_cnf(self.confirmation),
                _SCOPE: cwt.encode_scope(self.scope),
                _TOKEN_TYPE: self.token_type,
                _ACE_PROFILE: self.profile,
                _RS_CNF: _encode_cnf(self.server_confirmation),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "TokenResponse":
        """Raises `Malformed`."""
        values = _decode(data, _TOKEN_RESPONSE, 2 * MAX_TOKEN_BYTES)
        if "access_token" not in values:
            raise Malformed("a token response without a token")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """A refusal of the token endpoint, or of authz-info (RFC 9200, section 5.8.3)."""

    error: int
    description: str = ""

    def encode(self) -> bytes:
        return _encode({_ERROR: self.error, _ERROR_DESCRIPTION: self.description})

    @classmethod
    def decode(cls, data: bytes) -> "ErrorResponse":
        """Raises `Malformed`."""
        values = _decode(data, _ERROR_RESPONSE, 2048)
        if "error" not in values:
            raise Malformed("an error response without an error")
        return cls(**values)


_Reader = Callable[[object], Any]
_Fields = Mapping[int, tuple[str, _Reader]]


def _encode(values: dict[int, object], kept: Mapping[int, object] | None = None) -> bytes:
    """What is absent is left out: None, and what is empty but for ids, which may have no bytes."""
    ids = (_CLIENT_RECIPIENT_ID, _SERVER_RECIPIENT_ID)
    present = {key: value for key, value in values.items() if key in ids or value not in (b"", "")}
    return cbor.encode({key: value for key, value in present.items() if value is not None} | dict(kept or {}))


def _encode_cnf(confirmation: Confirmation | None) -> dict[int, object] | None:
    return None if confirmation is None else cwt.encode_confirmation(confirmation)


def _decode(data: bytes, fields: _Fields, max_bytes: int) -> dict[str, Any]:
    values = cbor.decode(data, max_bytes)
    if not isinstance(values, dict) or not values.keys() <= fields.keys():
        raise Malformed("a map of ACE that has a parameter which is not known here, or is no map")
    return {fields[label][0]: fields[label][1](value) for label, value in values.items()}


def _bytes(least: int, most: int) -> _Reader:
    def read(value: object) -> bytes:
        if not isinstance(value, bytes) or not least <= len(value) <= most:
            raise Malformed("a parameter that is not a byte string of sensible length")
        return value

    return read


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise Malformed("a parameter that is not a text of sensible length")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise Malformed("a parameter that is not a number")
    return value


def _null(value: object) -> bool:
    if value is not None:
        raise Malformed("a profile in a request, where null asks for it")
    return True


_TOKEN = ("access_token", _bytes(1, MAX_TOKEN_BYTES))
_NONCE = _bytes(MIN_NONCE_BYTES, MAX_NONCE_BYTES)
_ID = _bytes(0, MAX_ID_BYTES)
_SHORT = _bytes(1, 64)

_AUTHZ_INFO: Final[_Fields] = {
    _ACCESS_TOKEN: _TOKEN,
    _NONCE1: ("nonce1", _NONCE),
    _CLIENT_RECIPIENT_ID: ("client_id", _ID),
}
_AUTHZ_INFO_ANSWER: Final[_Fields] = {_NONCE2: ("nonce2", _NONCE), _SERVER_RECIPIENT_ID: ("server_id", _ID)}
_REQUEST_HINTS: Final[_Fields] = {
    _AUTHORIZATION_SERVER: ("authorization_server", _text),
    _KID: ("kid", _SHORT),
    _AUDIENCE: ("audience", _text),
    _SCOPE: ("scope", cwt.decode_scope),
    _CNONCE: ("cnonce", _SHORT),
}
_TOKEN_REQUEST: Final[_Fields] = {
    _REQ_CNF: ("confirmation", cwt.decode_confirmation),
    _AUDIENCE: ("audience", _text),
    _SCOPE: ("scope", cwt.decode_scope),
    _CLIENT_ID: ("client_id", _text),
    _CLIENT_SECRET: ("client_secret", _bytes(1, MAX_SECRET_BYTES)),
    _GRANT_TYPE: ("grant_type", _number),
    _ACE_PROFILE: ("asks_profile", _null),
    _CNONCE: ("cnonce", _SHORT),
}
_TOKEN_RESPONSE: Final[_Fields] = {
    _ACCESS_TOKEN: _TOKEN,
    _EXPIRES_IN: ("expires_in_s", _number),
    _CNF: ("confirmation", cwt.decode_confirmation),
    _SCOPE: ("scope", cwt.decode_scope),
    _TOKEN_TYPE: ("token_type", _number),
    _ACE_PROFILE: ("profile", _number),
    _RS_CNF: ("server_confirmation", cwt.decode_confirmation),
}
_ERROR_RESPONSE: Final[_Fields] = {_ERROR: ("error", _number), _ERROR_DESCRIPTION: ("description", _text)}
