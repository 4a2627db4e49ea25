import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.device_id import check_device_id, device_id, registry_key


@given(st.binary(max_size=100))
def test_a_device_id_is_the_start_of_the_registry_key(spki: bytes) -> None:
    digest = hashlib.sha256(spki).digest()
    assert registry_key(spki) == digest
    assert device_id(spki) == "AD" + base64.b32encode(digest).decode()[:20]
    assert check_device_id(device_id(spki)) == device_id(spki)


@given(st.text(max_size=30))
def test_other_texts_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        check_device_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AD",
        "AD" + "A" * 19,
        "AD" + "A" * 21,
        "ad" + "a" * 20,
        "AD" + "A" * 19 + "1",
        "AE" + "A" * 20,
        "AD" + "A" * 20 + "\n",
    ],
)
def test_near_misses_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        check_device_id(text)
