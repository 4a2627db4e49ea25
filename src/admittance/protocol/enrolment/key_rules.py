"""Which keys an operational certificate may have.

Each rule cites its source. What is not listed here is refused.
"""

from cryptography.hazmat.primitives.asymmetric import ed25519

from admittance.errors import KeyRefused
from admittance.protocol.signing import PublicKey, load_public_key


def check(spki: bytes) -> PublicKey:
    """Return the key of `spki` (DER) if the rules allow it.

    - P-256 or Ed25519 only: FIPS 186-5, sections 6 and 7; RFC 8422 for their use in TLS.
    - The point must be a valid public key: NIST SP 800-56A revision 3, section 5.6.2.3.3 (`cryptography` refuses
      points off the curve and the point at infinity when it loads a key).
    - An Ed25519 key must not be of small order: RFC 8032, section 5.1.7 leaves such keys to the application.

    Raises `KeyRefused`, or `Malformed` if `spki` doesn't decode.
    """
    key = load_public_key(spki)
    if isinstance(key, ed25519.Ed25519PublicKey):
        _refuse_small_order(key)
    return key


def check_distinct(operational_spki: bytes, identity_spki: bytes) -> None:
    """The operational key must not be the identity key: one key, one purpose (NIST SP 800-57 part 1, section 5.2)."""
    if operational_spki == identity_spki:
        raise KeyRefused("The operational key is the identity key: make a key of its own for enrolment.")


# The encodings of the points of order 1, 2, 4 and 8 on edwards25519, canonical or not.
_SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)


def _refuse_small_order(key: ed25519.Ed25519PublicKey) -> None:
    if key.public_bytes_raw() in _SMALL_ORDER:
        raise KeyRefused("The Ed25519 key is a point of small order.")
