"""The answer of `proto-ver`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.protocomm import version
from admittance.wire.protocomm.version import Admit, Stock, Version

STOCK = b'"prov":{"ver":"v1.1","sec_ver":2,"sec_patch_ver":1,"cap":["wifi_scan"]}'


@given(st.binary(max_size=200))
def test_decoder_raises_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        version.decode(data)


def test_round_trip() -> None:
    for admit in (Admit(1, "display"), Admit(1, "button", "AAAAAAAAAAAAAAAAAAAAAA")):
        answer = Version(Stock("v1.1", 2, 1, ("wifi_scan",)), admit)
        assert version.decode(version.encode(answer)) == answer


def test_window_nonce() -> None:
    assert Admit(1, "display").window_nonce is None
    assert Admit(1, "button", "AAAAAAAAAAAAAAAAAAAAAA").window_nonce == bytes(16)


def test_absent_versions_are_the_old_ones() -> None:
    assert version.decode(b'{"prov":{"ver":"v1.1"}}').prov == Stock("v1.1", 1, 0, ())


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"v1.1",
        b'{"prov":{}}',
        b'{"prov":{"ver":"v1.1","sec_ver":"2"}}',
        b"{" + STOCK + b',"admit":{"v":2,"presence":"display"}}',
        b"{" + STOCK + b',"admit":{"v":1,"presence":"wave"}}',
        b"{" + STOCK + b',"admit":{"v":1,"presence":"button","window":"AAAA"}}',
        b"{" + STOCK + b',"admit":{"v":1,"presence":"button","window":"!"}}',
        b"{" + STOCK + b',"x":"' + b"x" * 1024 + b'"}',
        b'{"prov":{"ver":"\xff"}}',
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(Malformed):
        version.decode(data)


def test_keys_of_other_devices_are_passed_over() -> None:
    data = b"{" + STOCK + b',"rmaker":{"ver":"v1"}}'
    assert version.decode(data).prov.cap == ("wifi_scan",)
