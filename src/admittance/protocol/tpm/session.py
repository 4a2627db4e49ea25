"""TPM sessions: a device authenticates on one TLS connection by a secret that only its TPM can decrypt.

The signature binds that secret to this connection (its nonce) and to this server (its certificate), so neither a
relay nor another server can use it, and a stolen operational key alone can't answer.
"""

from admittance.errors import KeyRefused, Malformed, SignatureInvalid
from admittance.protocol.signing import Signer, load_public_key, verify_raw
from admittance.wire import cbor

LABEL = "admittance/tpm-session/1"


def signing_input(
    *, secret: bytes, connection_nonce: bytes, server_certificate_sha256: bytes, device_id: str, epoch: int
) -> bytes:
    """What the operational key signs.

    `secret` is the challenge's (32 bytes), `connection_nonce` the connection's (32 bytes) and
    `server_certificate_sha256` the SHA-256 of the server's leaf certificate (DER) on that connection.
    """
    return cbor.encode([LABEL, secret, connection_nonce, server_certificate_sha256, device_id, epoch])


def sign_session(operational: Signer, data: bytes) -> bytes:
    """The signature of a `SessionProof`, 64 bytes."""
    return operational.sign(data)


def verify_session(signature: bytes, operational_spki: bytes, data: bytes) -> None:
    """Check the signature over `data` (from `signing_input`). Raises `SignatureInvalid`."""
    try:
        key = load_public_key(operational_spki)
    except (KeyRefused, Malformed) as error:
        raise SignatureInvalid("The session's key is not one that may sign it.") from error
    verify_raw(key, signature, data)
