import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor
from admittance.wire.device_id import device_id
from admittance.wire.manifest import (
    DeviceSecrets,
    ManifestEntry,
    decode_line,
    decode_secrets,
    encode_line,
    encode_secrets,
)

SECRETS = DeviceSecrets("PROV_ABCDEF", "correct horse", b"p" * 32, None)


def entry(spki: bytes = b"spki", certificate: bytes | None = None) -> ManifestEntry:
    return ManifestEntry(device_id(spki), "lamp", "display", spki, certificate, b"sealed")


@given(st.binary(max_size=200), st.none() | st.binary(max_size=200))
def test_a_line_decodes_to_what_was_encoded(spki: bytes, certificate: bytes | None) -> None:
    assert decode_line(encode_line(entry(spki, certificate))) == entry(spki, certificate)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line_or_malformed(data: bytes) -> None:
    try:
        decode_line(data)
    except Malformed:
        return


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"extra": 1},
        {"presence": "none"},
        {"device_id": device_id(b"another")},
        {"model": ""},
        {"identity_spki": "AB=="},
        {"secrets": 5},
    ],
)
def test_a_changed_field_is_refused(change: dict[str, object]) -> None:
    line = json.loads(encode_line(entry())) | change
    with pytest.raises(Malformed):
        decode_line(json.dumps(line).encode())


def test_only_a_device_with_a_tpm_has_an_ek_certificate() -> None:
    assert b"ek_certificate" not in encode_line(entry())
    with_tpm = dataclasses.replace(entry(), ek_certificate=b"certificate")
    assert decode_line(encode_line(with_tpm)) == with_tpm


def test_a_line_that_never_ends_is_refused() -> None:
    with pytest.raises(Malformed, match="longer"):
        decode_line(b" " * 20000)


def test_secrets_decode_to_what_was_encoded_and_do_not_show_in_repr() -> None:
    assert decode_secrets(encode_secrets(SECRETS)) == SECRETS
    assert "horse" not in repr(SECRETS)


@given(st.binary(max_size=200))
def test_any_bytes_are_secrets_or_malformed(data: bytes) -> None:
    try:
        decode_secrets(data)
    except Malformed:
        return


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"access_point_ssid": "x"},
        {"access_point_ssid": "x", "access_point_passphrase": "short"},
        {"access_point_ssid": "x" * 33, "access_point_passphrase": "long enough"},
        {"access_point_ssid": "x", "access_point_passphrase": "long enough", "seal_key": b"k" * 31},
        {"access_point_ssid": "x", "access_point_passphrase": "long enough", "other": b""},
    ],
)
def test_incomplete_or_unknown_secrets_are_refused(values: object) -> None:
    with pytest.raises(Malformed):
        decode_secrets(cbor.encode(values))
