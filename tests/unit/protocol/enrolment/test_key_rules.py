import pytest

from admittance.errors import KeyRefused, Malformed
from admittance.protocol.enrolment import key_rules
from admittance.protocol.signing import SMALL_ORDER_POINTS, spki_of
from tests.vectors.making.material import IDENTITY, OTHER_IDENTITY, P384_KEY

P256_SPKI, ED25519_SPKI = spki_of(IDENTITY.public_key()), spki_of(OTHER_IDENTITY.public_key())


@pytest.mark.parametrize("spki", [P256_SPKI, ED25519_SPKI], ids=["P-256", "Ed25519"])
def test_allowed_keys(spki: bytes) -> None:
    assert spki_of(key_rules.check(spki)) == spki


def test_keys_that_are_not_listed_are_refused() -> None:
    with pytest.raises(KeyRefused):
        key_rules.check(spki_of(P384_KEY.public_key()))


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)], ids=["order 4", "neutral"])
def test_points_of_small_order_are_refused(point: bytes) -> None:
    assert point in SMALL_ORDER_POINTS
    with pytest.raises(KeyRefused):
        key_rules.check(ED25519_SPKI[:-32] + point)


def test_a_point_off_the_curve_is_malformed() -> None:
    with pytest.raises(Malformed):
        key_rules.check(P256_SPKI[:-1] + bytes([P256_SPKI[-1] ^ 1]))


def test_one_key_has_one_purpose() -> None:
    key_rules.check_distinct(P256_SPKI, ED25519_SPKI)
    with pytest.raises(KeyRefused):
        key_rules.check_distinct(P256_SPKI, P256_SPKI)
