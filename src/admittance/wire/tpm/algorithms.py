"""The algorithm identifiers that are allowed (TCG Algorithm Registry, revision 1.32, tables 3 and 4).

SHA-1 isn't among them: neither names nor signatures nor PCR banks may rest on it.
"""

from admittance.errors import Malformed

RSA = 0x0001
AES = 0x0006
SHA256 = 0x000B
SHA384 = 0x000C
SHA512 = 0x000D
NULL = 0x0010
RSASSA = 0x0014
ECDSA = 0x0018
ECC = 0x0023
CFB = 0x0043

NIST_P256 = 0x0003
NIST_P384 = 0x0004

DIGEST_BYTES = {SHA256: 32, SHA384: 48, SHA512: 64}
HASH_NAMES = {SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
COORDINATE_BYTES = {NIST_P256: 32, NIST_P384: 48}
MAX_DIGEST_BYTES = 64
MAX_COORDINATE_BYTES = 48
RSA_KEY_BITS = (2048, 3072, 4096)
MAX_RSA_BYTES = 512


def check_hash(algorithm: int) -> int:
    """Return `algorithm` if it is an allowed hash. Raises `Malformed`."""
    if algorithm not in DIGEST_BYTES:
        raise Malformed(f"hash algorithm {algorithm:#06x}, which is not allowed")
    return algorithm
