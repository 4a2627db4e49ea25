"""Which keys an operational certificate may have.

Each rule cites its source. What is not listed here is refused.
"""

from admittance.errors import KeyRefused
from admittance.protocol.signing import PublicKey, load_public_key


def check(spki: bytes) -> PublicKey:
    """Return the key of `spki` (DER) if the rules allow it.

    - P-256 or Ed25519 only: FIPS 186-5, sections 6 and 7; RFC 8422 for their use in TLS.
    - The point must be a valid public key: NIST SP 800-56A revision 3, section 5.6.2.3.3 (`cryptography` refuses
      points off the curve and the point at infinity when it loads a key).
    - An Ed25519 key must not be of small order: RFC 8032, section 5.1.7 leaves such keys to the application.

    All of them hold for every key that `load_public_key` gives. Raises `KeyRefused`, or `Malformed` if `spki` doesn't
    decode.
    """
    return load_public_key(spki)


def check_distinct(operational_spki: bytes, identity_spki: bytes) -> None:
    """The operational key must not be the identity key: one key, one purpose (NIST SP 800-57 part 1, section 5.2)."""
    if operational_spki == identity_spki:
        raise KeyRefused("The operational key is the identity key: make a key of its own for enrolment.")
