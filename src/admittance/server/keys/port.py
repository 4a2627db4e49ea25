"""The ports behind which keys live: files today, a module or a service tomorrow."""

from dataclasses import dataclass
from typing import Protocol

from joserfc.jwk import ECKey

from admittance.protocol.signing import Signer


class KeyEncryption(Protocol):
    """Wraps short secrets. `context` is authenticated and must be the same on both sides."""

    def wrap(self, plaintext: bytes, context: bytes) -> bytes: ...

    def unwrap(self, data: bytes, context: bytes) -> bytes:
        """Raises `ConfigurationError` when the key or the context is another, or the data was changed."""
        ...


@dataclass(frozen=True, repr=False)
class TokenKey:
    """A key that signs access tokens (ES256). `kid` is its RFC 7638 thumbprint, `signer` signs with it."""

    kid: str
    key: ECKey
    signer: Signer


class TokenKeyRing(Protocol):
    """The keys of access tokens, through their roll-over."""

    def signing(self, now: float) -> TokenKey:
        """The key that signs at Unix time `now`. Raises `ConfigurationError`."""
        ...

    def published(self, now: float) -> tuple[TokenKey, ...]:
        """Every key under which a living token may be signed, and those that sign later."""
        ...
