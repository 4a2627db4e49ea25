"""The port behind which the key-encryption key lives: a file today, a module or a service tomorrow."""

from typing import Protocol


class KeyEncryption(Protocol):
    """Wraps short secrets. `context` is authenticated and must be the same on both sides."""

    def wrap(self, plaintext: bytes, context: bytes) -> bytes: ...

    def unwrap(self, data: bytes, context: bytes) -> bytes:
        """Raises `ConfigurationError` when the key or the context is another, or the data was changed."""
        ...
