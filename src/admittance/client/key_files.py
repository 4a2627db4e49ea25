"""Private P-256 keys in files that only the person at this client can open."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.private_files import read_private, write_private
from admittance.errors import ConfigurationError, NotFound


def load_p256(path: Path, mend: str) -> ec.EllipticCurvePrivateKey:
    """Read a key file (PKCS #8 in PEM).

    Raises:
        NotFound: there is none.
        ConfigurationError: others can open the file, or it holds no P-256 key; the message ends with `mend`.
    """
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} holds no private key. {mend}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ConfigurationError(f"{path} holds no P-256 key. {mend}")
    return key


def load_or_make_p256(path: Path, mend: str) -> ec.EllipticCurvePrivateKey:
    """The key in a file, made at first use. Raises `ConfigurationError`."""
    try:
        return load_p256(path, mend)
    except NotFound:
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, pem_of(key))
        return key


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
