"""What an admission itself must hold; what the list adds to that is in `test_credentials`."""

import pytest

from admittance.errors import KeyRefused, Malformed, NotAllowed, SignatureInvalid
from admittance.protocol.channel.admission import read_admission, sign_admission
from admittance.wire.channel import GET, Admission, Entry, Permission, Role
from tests.unit.protocol.channel.channel_world import APP_KEY, OTHER_KEY, new_signer

DEVICE = "ADABCDEFGHIJKLMNOPQRST"
SIGNER = new_signer()
GUEST = Entry(OTHER_KEY.credential.spki, b"", "guest", 3, "Anna", 0, (Permission("/lock", GET),))
ADMISSION = Admission(DEVICE, bytes(16), GUEST, 1_800_000_000)


def signer_entry(role: Role = "owner", signing: bytes = SIGNER.spki) -> Entry:
    return Entry(APP_KEY.credential.spki, signing, role, 3, "phone", 0, ())


def test_it_holds_for_the_owner_who_signed_it() -> None:
    unverified = read_admission(sign_admission(ADMISSION, SIGNER, APP_KEY.credential.kid))
    assert unverified.kid == APP_KEY.credential.kid
    assert unverified.verify(signer_entry(), DEVICE) == ADMISSION


@pytest.mark.parametrize("role", ["guest", "recovery", "server"])
def test_no_other_role_countersigns_even_with_a_signing_key(role: Role) -> None:
    unverified = read_admission(sign_admission(ADMISSION, SIGNER, APP_KEY.credential.kid))
    with pytest.raises(NotAllowed):
        unverified.verify(signer_entry(role), DEVICE)


@pytest.mark.parametrize(
    ("signing", "error"),
    [
        (b"", NotAllowed),
        (new_signer().spki, SignatureInvalid),
        (b"no key", Malformed),
        (APP_KEY.credential.spki, SignatureInvalid),
    ],
)
def test_it_holds_under_the_owners_signing_key_alone(signing: bytes, error: type[Exception]) -> None:
    unverified = read_admission(sign_admission(ADMISSION, SIGNER, APP_KEY.credential.kid))
    with pytest.raises((error, KeyRefused)):
        unverified.verify(signer_entry(signing=signing), DEVICE)
