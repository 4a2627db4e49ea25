from pathlib import Path

import pytest
from cryptography import x509

from admittance.errors import ConfigurationError
from admittance.protocol.sealing.signer import spki_sha256, verify_signer
from admittance.server import keystore as module
from admittance.server.keys.file import create_secret, replace_file
from admittance.server.keystore import COMPLETE_FILE, Keystore, open_keystore

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    return open_keystore(tmp_path_factory.mktemp("data") / "keys", now=NOW)


def fingerprint(keystore: Keystore) -> tuple[object, ...]:
    return (
        keystore.configuration_chain,
        keystore.issuing_ca.certificate_der,
        keystore.tls_anchor.certificate_der,
        keystore.people_ca.certificate_der,
        keystore.channel_spki,
        keystore.manifest_public_key,
        keystore.code_key,
        keystore.dpop_nonce_key,
        keystore.audit_key,
        keystore.dummy_key,
    )


def test_opening_again_gives_the_same_keys(made: Keystore) -> None:
    assert fingerprint(open_keystore(made.directory, now=NOW + 10**7)) == fingerprint(made)


def test_each_key_serves_one_purpose(made: Keystore) -> None:
    assert len(set(fingerprint(made))) == len(fingerprint(made))


def test_devices_accept_the_configuration_chain(made: Keystore) -> None:
    root = x509.load_der_x509_certificate(made.configuration_root)
    assert verify_signer(made.configuration_chain, spki_sha256(root)) == made.configuration_key.public_key()


def test_every_file_is_private(made: Keystore) -> None:
    assert {path.stat().st_mode & 0o777 for path in made.directory.iterdir()} == {0o600}
    assert made.directory.stat().st_mode & 0o777 == 0o700


def test_keystore_shows_no_key(made: Keystore) -> None:
    assert made.audit_key.hex() not in repr(made)
    assert repr(made.audit_key) not in repr(made)


def test_first_start_cut_short_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop after each file in turn; what was made stays, and the next start makes the rest."""
    folder = tmp_path / "keys"
    stops = 0
    while True:
        before = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        with monkeypatch.context() as patch:
            remaining = 1

            def create(path: Path, content: bytes) -> bool:
                nonlocal remaining
                if remaining == 0:
                    raise KeyboardInterrupt
                remaining -= 1
                return create_secret(path, content)

            patch.setattr(module, "create_secret", create)
            try:
                open_keystore(folder, now=NOW)
            except KeyboardInterrupt:
                stops += 1
                after = {path.name: path.read_bytes() for path in folder.iterdir()}
                assert before.items() <= after.items()
                continue
        break
    assert stops > 10
    assert (folder / COMPLETE_FILE).exists()


@pytest.mark.parametrize("name", ["audit.key", "issuing-ca.key", "manifest.key", "configuration-signer.crt"])
def test_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path, name: str) -> None:
    open_keystore(tmp_path / "keys", now=NOW)
    (tmp_path / "keys" / name).unlink()
    with pytest.raises(ConfigurationError):
        open_keystore(tmp_path / "keys", now=NOW)
    assert not (tmp_path / "keys" / name).exists()


def test_configuration_root_may_go_offline(tmp_path: Path) -> None:
    first = open_keystore(tmp_path / "keys", now=NOW)
    (tmp_path / "keys" / "configuration-root.key").unlink()
    assert open_keystore(tmp_path / "keys", now=NOW).configuration_chain == first.configuration_chain


def test_key_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    open_keystore(tmp_path / "keys", now=NOW)
    (tmp_path / "keys" / "code.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"code\.key can be opened by others"):
        open_keystore(tmp_path / "keys", now=NOW)


def test_folder_readable_by_others_is_refused(tmp_path: Path) -> None:
    open_keystore(tmp_path / "keys", now=NOW)
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        open_keystore(tmp_path / "keys", now=NOW)


def test_nothing_is_made_without_create(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        open_keystore(tmp_path / "keys", now=NOW, create=False)
    assert list(tmp_path.iterdir()) == []


def test_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        open_keystore(tmp_path / name, now=NOW)
    replace_file(tmp_path / "one" / "issuing-ca.crt", (tmp_path / "two" / "issuing-ca.crt").read_bytes())
    with pytest.raises(ConfigurationError, match="does not belong to the key"):
        open_keystore(tmp_path / "one", now=NOW)


@pytest.mark.parametrize("name", ["issuing-ca.key", "people-ca.crt", "manifest.key"])
def test_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    open_keystore(tmp_path / "keys", now=NOW)
    replace_file(tmp_path / "keys" / name, b"?")
    with pytest.raises(ConfigurationError, match=name):
        open_keystore(tmp_path / "keys", now=NOW)


def test_key_encryption_key_may_be_elsewhere(tmp_path: Path) -> None:
    create_secret(tmp_path / "kek", bytes(32))
    keystore = open_keystore(tmp_path / "keys", now=NOW, key_encryption_file=tmp_path / "kek")
    assert not (tmp_path / "keys" / "key-encryption.key").exists()
    assert keystore.key_encryption.unwrap(keystore.key_encryption.wrap(b"x", b""), b"") == b"x"
