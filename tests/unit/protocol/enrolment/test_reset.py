from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import Malformed, SignatureInvalid, WrongChallenge, WrongDevice
from admittance.protocol.enrolment.building import build_request
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.enrolment.reset import build_reset_report, read_reset_report
from admittance.protocol.signing import PrivateKey, SoftwareSigner
from admittance.wire.device_id import device_id
from tests.vectors.making.material import DEVICE, IDENTITY, OTHER_DEVICE, OTHER_IDENTITY, p256
from tests.wire_messages import bytes32, changed, unsigned

NONCE = bytes(range(32))
SIGNER = SoftwareSigner(IDENTITY)
GOOD = build_reset_report(SIGNER, nonce=NONCE, device_id=DEVICE, epoch=4, resets=1)


@given(st.sampled_from([IDENTITY, OTHER_IDENTITY]), bytes32, unsigned, unsigned)
def test_a_report_verifies(identity: PrivateKey, nonce: bytes, epoch: int, resets: int) -> None:
    signer = SoftwareSigner(identity)
    device = device_id(signer.spki)
    data = build_reset_report(signer, nonce=nonce, device_id=device, epoch=epoch, resets=resets)
    report = read_reset_report(data).verify(signer.spki, nonce)
    assert (report.device_id, report.epoch, report.resets) == (device, epoch, resets)


@settings(max_examples=200)
@given(changed(GOOD) | st.binary(max_size=100))
def test_changed_bytes_are_malformed_or_do_not_verify(data: bytes) -> None:
    with pytest.raises((Malformed, SignatureInvalid)):
        read_reset_report(data).verify(SIGNER.spki, NONCE)


@pytest.mark.parametrize(
    ("identity", "changes", "expected"),
    [
        (OTHER_IDENTITY, {}, SignatureInvalid),
        (IDENTITY, {"device_id": OTHER_DEVICE}, WrongDevice),
        (IDENTITY, {"nonce": bytes(32)}, WrongChallenge),
    ],
)
def test_a_report_for_something_else_is_refused_with_its_own_class(
    identity: PrivateKey, changes: dict[str, Any], expected: type[Exception]
) -> None:
    fields: dict[str, Any] = {"nonce": NONCE, "device_id": DEVICE, "epoch": 4, "resets": 1} | changes
    with pytest.raises(Exception) as caught:
        read_reset_report(build_reset_report(SoftwareSigner(identity), **fields)).verify(SIGNER.spki, NONCE)
    assert type(caught.value) is expected


def test_a_report_is_no_enrolment_request_nor_the_other_way_round() -> None:
    request = build_request(SIGNER, p256("operational"), nonce=NONCE, device_id=DEVICE, epoch=4)
    with pytest.raises(Malformed):
        read_request(GOOD)
    with pytest.raises(Malformed):
        read_reset_report(request)
