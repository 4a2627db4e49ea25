from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import ConfigurationError
from admittance.server.keys.envelope import Envelope
from admittance.server.keys.file import FileKeyEncryption, create_secret


@pytest.fixture(scope="module")
def envelope(tmp_path_factory: pytest.TempPathFactory) -> Envelope:
    path: Path = tmp_path_factory.mktemp("keys") / "kek"
    create_secret(path, bytes(32))
    return Envelope(FileKeyEncryption(path))


def test_record_opens_in_its_place_only(envelope: Envelope) -> None:
    record = envelope.seal(b"passphrase", b"network|1")
    assert envelope.open(record, b"network|1") == b"passphrase"
    with pytest.raises(ConfigurationError):
        envelope.open(record, b"network|2")


def test_equal_secrets_have_unequal_records(envelope: Envelope) -> None:
    assert envelope.seal(b"x", b"") != envelope.seal(b"x", b"")


def test_record_holds_no_plaintext(envelope: Envelope) -> None:
    assert b"passphrase" not in envelope.seal(b"passphrase", b"")


@given(data=st.data())
def test_any_changed_bit_is_noticed(envelope: Envelope, data: st.DataObject) -> None:
    record = bytearray(envelope.seal(b"secret", b"place"))
    position = data.draw(st.integers(0, len(record) - 1))
    record[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ConfigurationError):
        envelope.open(bytes(record), b"place")


@given(st.binary(max_size=200))
def test_garbage_does_not_open(envelope: Envelope, garbage: bytes) -> None:
    with pytest.raises(ConfigurationError):
        envelope.open(garbage, b"place")
