"""What both ends of a context derive: keys, nonces and additional data (RFC 8613, sections 3.2, 5.2 and 5.4)."""

from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import Misuse
from admittance.protocol.channel.oscore.algorithms import Algorithm
from admittance.wire import cbor
from admittance.wire.oscore import MAX_PARTIAL_IV_BYTES

_VERSION: Final = 1
_EMPTY_BYTES = cbor.encode(b"")
_ENCRYPT0 = b"\x83" + cbor.encode("Encrypt0") + _EMPTY_BYTES


@dataclass(frozen=True)
class DerivedKeys:
    """The keys of one end; the other end has the first two the other way round."""

    sender: bytes
    recipient: bytes
    common_iv: bytes

    @classmethod
    def derive(
        cls,
        master_secret: bytes,
        master_salt: bytes,
        sender_id: bytes,
        recipient_id: bytes,
        id_context: bytes | None,
        algorithm: Algorithm,
    ) -> Self:
        """HKDF with SHA-256 over the master secret (RFC 8613, section 3.2.1)."""

        def expand(identifier: bytes, kind: str, length: int) -> bytes:
            info = cbor.encode([identifier, id_context, algorithm.identifier, kind, length])
            return HKDF(SHA256(), length, master_salt, info).derive(master_secret)

        return cls(
            expand(sender_id, "Key", algorithm.key_bytes),
            expand(recipient_id, "Key", algorithm.key_bytes),
            expand(b"", "IV", algorithm.nonce_bytes),
        )


class Numbering:
    """The nonces and additional data for the numbers of one end, with all that stays the same made once."""

    __slots__ = ("_aad", "_base", "_nonce_bytes")

    def __init__(self, identifier: bytes, common_iv: bytes, algorithm: Algorithm) -> None:
        """Raises `Misuse` for an id that is longer than the nonce has room for: 7 bytes, with A128GCM 6."""
        room = algorithm.nonce_bytes - 1 - MAX_PARTIAL_IV_BYTES
        if len(identifier) > room:
            raise Misuse(f"an id of {len(identifier)} bytes where at most {room} are allowed")
        padded = bytes((len(identifier),)) + identifier.rjust(room, b"\0") + bytes(MAX_PARTIAL_IV_BYTES)
        self._base = int.from_bytes(common_iv, "big") ^ int.from_bytes(padded, "big")
        self._nonce_bytes = algorithm.nonce_bytes
        self._aad = tuple(_aad_head(identifier, length, algorithm) for length in range(MAX_PARTIAL_IV_BYTES + 1))

    def nonce(self, number: int) -> bytes:
        """The nonce of this end's message with that number."""
        return (self._base ^ number).to_bytes(self._nonce_bytes, "big")

    def request(self, number: int, partial_iv: bytes) -> tuple[bytes, bytes]:
        """The nonce of this end's request with that number, and the additional data of it and of its responses."""
        nonce = (self._base ^ number).to_bytes(self._nonce_bytes, "big")
        return nonce, self._aad[len(partial_iv)] + partial_iv + _EMPTY_BYTES


def _aad_head(identifier: bytes, partial_iv_bytes: int, algorithm: Algorithm) -> bytes:
    """Enc_structure up to the bytes of the request's partial IV; class I options there are none."""
    partial_iv = bytes(partial_iv_bytes)
    external = cbor.encode([_VERSION, [algorithm.identifier], identifier, partial_iv, b""])
    whole = _ENCRYPT0 + cbor.encode(external)
    return whole[: len(whole) - partial_iv_bytes - len(_EMPTY_BYTES)]
