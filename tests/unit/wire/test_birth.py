import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.birth import Birth, TpmAccess, check_origin, decode_birth, encode_birth
from admittance.wire.device_id import device_id

DEVICE_ID = device_id(b"an identity key")
BIRTH = Birth(
    device_id=DEVICE_ID,
    model="lamp-2",
    presence="button",
    server_origin="https://localhost:8443",
    configuration_root_sha256=bytes(32),
    access_point_ssid=f"PROV_{DEVICE_ID[2:8]}",
    access_point_passphrase="correct-horse",
    presence_key=b"p" * 32,
    seal="symmetric",
    seal_key=b"s" * 32,
    identity_certificate=None,
)


def document(**changes: Any) -> bytes:
    fields = json.loads(encode_birth(BIRTH))
    fields.update(changes)
    return json.dumps(fields).encode()


def test_a_birth_survives_the_round_trip() -> None:
    assert decode_birth(encode_birth(BIRTH)) == BIRTH


@pytest.mark.parametrize("tpm", [TpmAccess(tcti="device:/dev/tpmrm0"), TpmAccess(swtpm_state="tpm")])
def test_a_birth_tells_where_the_tpm_is(tpm: TpmAccess) -> None:
    birth = msgspec.structs.replace(BIRTH, tpm=tpm)
    assert decode_birth(encode_birth(birth)) == birth


def test_a_birth_shows_no_secret_in_its_repr() -> None:
    assert "correct-horse" not in repr(BIRTH)
    assert "pppp" not in repr(BIRTH)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"extra": 1},
        {"device_id": "AD"},
        {"model": ""},
        {"model": "a b"},
        {"presence": "none"},
        {"server_origin": "http://localhost"},
        {"server_origin": "https://localhost/"},
        {"configuration_root_sha256": "AA"},
        {"access_point_ssid": "PROV_AAAAAA0"},
        {"access_point_passphrase": "short"},
        {"presence_key": None},
        {"presence_key": "AA"},
        {"seal": "hybrid"},
        {"seal_key": None},
        {"identity_certificate": ""},
        {"tpm": {}},
        {"tpm": {"tcti": "device:/dev/tpmrm0", "swtpm_state": "tpm"}},
        {"tpm": {"tcti": "device:/dev/tpmrm0", "other": ""}},
    ],
)
def test_a_broken_birth_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_birth(document(**changes))


def test_a_broken_birth_is_not_encoded() -> None:
    with pytest.raises(Malformed):
        encode_birth(msgspec.structs.replace(BIRTH, presence="display"))


def test_an_oversized_birth_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_birth(encode_birth(BIRTH) + b" " * 20000)


@given(st.binary(max_size=300))
def test_any_bytes_are_malformed_or_a_birth(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode_birth(data)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_changed_byte_never_escapes_as_another_error(position: int, value: int) -> None:
    data = bytearray(encode_birth(BIRTH))
    data[position % len(data)] = value
    with contextlib.suppress(Malformed):
        decode_birth(bytes(data))


@given(st.text(max_size=40))
def test_any_text_is_an_origin_or_malformed(text: str) -> None:
    for candidate in (text, f"https://{text}"):
        with contextlib.suppress(Malformed):
            assert check_origin(candidate) == candidate


@pytest.mark.parametrize(
    "origin",
    [
        "https://",
        "https://h/",
        "https://H",
        "https://u@h",
        "https://h:99999",
        "https://h?q",
        "https://h#f",
        "ftp://h",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_malformed(origin: str) -> None:
    with pytest.raises(Malformed):
        check_origin(origin)
