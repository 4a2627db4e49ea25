import pytest

from admittance.errors import Malformed
from admittance.wire import cbor, message, senml
from admittance.wire.readings import Consent, Readings, ReadingsAccepted
from admittance.wire.senml import Record

PACK = senml.encode([Record("temperature", 21.5, "Cel", 1_800_000_000)])


def test_messages_travel_as_arrays() -> None:
    batch = Readings(7, 1_800_000_060, PACK)
    assert cbor.decode(message.encode(batch)) == ["admittance/readings/1", 7, 1_800_000_060, PACK]
    assert message.decode(message.encode(batch), Readings) == batch
    assert cbor.decode(message.encode(ReadingsAccepted(7, 9))) == [7, 9]
    assert cbor.decode(message.encode(Consent(["temperature"]))) == ["admittance/consent/1", ["temperature"]]


@pytest.mark.parametrize("fields", [[0, 0, PACK], [1, -1, PACK], [1, 0, b""], [1, 0, bytes(16001)], [1, 0, PACK, 0]])
def test_a_batch_has_a_number_from_1_on_a_time_and_a_pack(fields: list[object]) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(["admittance/readings/1", *fields]), Readings, max_bytes=20000)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a\n", "é", "a" * 129])
def test_consent_is_to_names_that_a_pack_can_hold(name: str) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(["admittance/consent/1", [name]]), Consent)
