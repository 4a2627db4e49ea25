"""What the server keeps of one TLS connection for as long as it lasts, and nowhere else."""

from dataclasses import dataclass

from starlette.types import Scope

EXTENSION = "admittance.connection"


@dataclass(frozen=True)
class OpenChallenge:
    """A challenge that was given out on this connection. `secret` is 32 bytes."""

    challenge_id: bytes
    device_id: str
    secret: bytes
    expires_at: float

    def __repr__(self) -> str:
        return f"OpenChallenge(device_id={self.device_id!r})"


@dataclass(eq=False)
class Connection:
    """`server_certificate_sha256` is of the leaf (DER) that the client was shown.

    `nonce` is this connection's own, once drawn. `certificate_fingerprint` names the certificate of the device that
    proved itself here by its TPM.
    """

    server_certificate_sha256: bytes
    nonce: bytes | None = None
    challenge: OpenChallenge | None = None
    certificate_fingerprint: bytes | None = None


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; None where the listener speaks no TLS."""
    found = scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Connection) else None
