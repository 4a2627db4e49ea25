"""Introspection of tokens in CBOR (RFC 9200, section 5.9): what a resource server asks, and what it is told."""

from dataclasses import dataclass
from typing import Final

from admittance.errors import Malformed
from admittance.wire import cbor, cwt
from admittance.wire.ace import MAX_TOKEN_BYTES
from admittance.wire.channel import Permission

_AUD, _EXP, _NBF, _CTI, _SCOPE, _ACTIVE, _TOKEN = 3, 4, 5, 7, 9, 10, 11
_CLIENT_ID, _TOKEN_TYPE_HINT, _TOKEN_TYPE, _ACE_PROFILE = 24, 33, 34, 38
MAX_REQUEST_BYTES: Final = MAX_TOKEN_BYTES + 128


@dataclass(frozen=True, slots=True)
class IntrospectionRequest:
    """`token` is as it is presented to the resource server. A hint at its type may come along and changes nothing."""

    token: bytes

    def encode(self) -> bytes:
        return cbor.encode({_TOKEN: self.token})

    @classmethod
    def decode(cls, data: bytes) -> "IntrospectionRequest":
        """Raises `Malformed`."""
        values = cbor.decode(data, MAX_REQUEST_BYTES)
        if not isinstance(values, dict) or not {_TOKEN} <= values.keys() <= {_TOKEN, _TOKEN_TYPE_HINT}:
            raise Malformed("an introspection request that is none")
        token, hint = values[_TOKEN], values.get(_TOKEN_TYPE_HINT, "")
        if not isinstance(token, bytes) or not 0 < len(token) <= MAX_TOKEN_BYTES or not isinstance(hint, str):
            raise Malformed("an introspection request whose token is none")
        return cls(token)


@dataclass(frozen=True, slots=True)
class Active:
    """What a token that holds is good for. Times are Unix seconds."""

    audience: str
    client_id: str
    scope: tuple[Permission, ...]
    token_id: bytes
    not_before: int
    expires_at: int
    token_type: int
    profile: int

    def encode(self) -> bytes:
        return cbor.encode(
            {
                _AUD: self.audience,
                _EXP: self.expires_at,
                _NBF: self.not_before,
                _CTI: self.token_id,
                _SCOPE: cwt.encode_scope(self.scope),
                _ACTIVE: True,
                _CLIENT_ID: self.client_id,
                _TOKEN_TYPE: self.token_type,
                _ACE_PROFILE: self.profile,
            }
        )


INACTIVE: Final = cbor.encode({_ACTIVE: False})
"""The answer for every token that does not hold, or is not the asker's to know."""
