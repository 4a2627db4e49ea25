"""What a device remembers: one CBOR record, replaced as a whole.

The record holds private keys and the premises network, so its file has mode 0600. The file carries a digest of the
record; the record before it is kept beside it, so that a damaged file costs the last change at most. A kill at any
instant leaves the old record or the new one.
"""

import fcntl
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from admittance.device.files import PRIVATE_MODE, Files
from admittance.errors import ConfigurationError, Malformed
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.access.offline_access import OfflineRecord
from admittance.protocol.channel.credentials import CredentialList
from admittance.wire import message
from admittance.wire.message import Bytes32, Message, Unsigned
from admittance.wire.readings import MAX_CONSENTED, ReadingName
from admittance.wire.sealed import MAX_TOKEN_KEYS

MAX_RECORD_BYTES: Final = 256 * 1024
FOLDER_MODE: Final = 0o700
_DIGEST_BYTES: Final = 32


class KeyMaterial(Message, frozen=True):
    """Keys that the device made for itself. `seal` is empty for a device that was made with a symmetric seal key;
    `channel` and `access` are PKCS #8 (DER), P-256. `attestation` tells the attestation key in the TPM from those
    before it (32 bytes); it is empty on a device without a TPM."""

    seal: bytes
    channel: bytes
    access: bytes
    attestation: bytes = b""


class ServerContact(Message, frozen=True):
    """Where the server is, and the CA certificates (DER) that may vouch for it. Without `relay_urls` it has no
    relay. `token_keys` (SubjectPublicKeyInfo) sign what is for a device that doesn't reach it."""

    first_contact_url: str
    device_url: str
    anchors: Annotated[list[bytes], Meta(min_length=1, max_length=4)]
    relay_urls: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    token_keys: Annotated[tuple[bytes, ...], Meta(max_length=MAX_TOKEN_KEYS)] = ()


class PremisesNetwork(Message, frozen=True):
    ssid: str
    passphrase: str

    def __repr__(self) -> str:
        return f"PremisesNetwork(ssid={self.ssid!r})"


class PendingEnrolment(Message, frozen=True):
    """A fresh operational key, as `Requests.make_key` gave it, from before its first request until its certificate.

    `ticket` is empty when the device renews or enrols again. `epoch` is the one that a login gave; None elsewhere.
    """

    key: bytes
    ticket: bytes
    epoch: Unsigned | None = None


class Operational(Message, frozen=True):
    """The operational key (as in `PendingEnrolment`) with its certificate chain (DER, leaf first); to be renewed at
    `renew_at` (Unix time)."""

    key: bytes
    chain: Annotated[list[bytes], Meta(min_length=1, max_length=4)]
    renew_at: Unsigned


class Record(Message, frozen=True, tag="admittance/device-state/1"):
    """Everything that a device remembers.

    `epoch` counts owners; `last_sequence` is the highest sequence number accepted in a sealed configuration;
    `resets` counts factory resets. These survive a reset. `owned` turns true with the first certificate of an
    epoch. `reset_unreported` is true until the server heard of the latest reset. `time_floor` is a Unix time that
    has certainly passed. `credentials` are those that the device talks to, and `consent` the names of the readings
    that the owner lets go to the server. `access` is what others may do by possession keys, and `offline` what
    has ended of that which they bring themselves.
    """

    epoch: Unsigned
    last_sequence: Unsigned
    resets: Unsigned
    owned: bool
    reset_unreported: bool
    time_floor: Unsigned
    keys: KeyMaterial
    server: ServerContact | None
    ticket: Bytes32 | None
    network: PremisesNetwork | None
    pending: PendingEnrolment | None
    operational: Operational | None
    credentials: CredentialList = CredentialList()
    consent: Annotated[tuple[ReadingName, ...], Meta(max_length=MAX_CONSENTED)] = ()
    access: GrantedAccess = GrantedAccess()
    offline: OfflineRecord = OfflineRecord()


def first_record(keys: KeyMaterial) -> Record:
    """The record of a device that boots for the first time."""
    return Record(
        epoch=0,
        last_sequence=0,
        resets=0,
        owned=False,
        reset_unreported=False,
        time_floor=0,
        keys=keys,
        server=None,
        ticket=None,
        network=None,
        pending=None,
        operational=None,
    )


def after_reset(record: Record, keys: KeyMaterial) -> Record:
    """The record after a factory reset: nothing of the owner's is left. Epoch, last sequence, count of resets and
    time floor stay, so that nothing which was issued before is accepted again."""
    return replace(
        first_record(keys),
        epoch=record.epoch,
        last_sequence=record.last_sequence,
        resets=record.resets + 1,
        reset_unreported=record.epoch > 0,
        time_floor=record.time_floor,
    )


class StateFile:
    """The record on the disk, in `folder`."""

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self._files = files or Files()
        self._folder = folder
        self._path = folder / "state.cbor"
        self._previous = folder / "state.previous.cbor"

    def load(self) -> Record | None:
        """Return the latest readable record, or None at the first boot.

        In a record that is not the latest, no more of the granted access holds than `GrantedAccess.after_damage`
        leaves. Raises `ConfigurationError` if there are records but none can be read.
        """
        current, previous = (self._files.read(path) for path in (self._path, self._previous))
        if current is None and previous is None:
            return None
        record, before = _readable(current), _readable(previous)
        if record is not None:
            return record
        if before is not None:
            return replace(before, access=before.access.after_damage())
        raise ConfigurationError(
            f"The device's state in {self._folder} is damaged. Reset the device, then provision it again."
        )

    def save(self, record: Record) -> None:
        """Replace the record. When this returns, the new record survives a power cut."""
        body = message.encode(record)
        aside = self._folder / "state.cbor.new"
        self._files.write(aside, sha256(body).digest() + body)
        if _readable(self._files.read(self._path)) is not None:
            name = self._folder / "state.previous.cbor.new"
            self._files.remove(name)
            self._files.link(self._path, name)
            self._files.replace(name, self._previous)
        self._files.replace(aside, self._path)
        self._files.sync_folder(self._folder)

    def forget_previous(self) -> None:
        """Remove the record before the latest, and what an interrupted save left behind."""
        for path in self._folder.glob("state.*"):
            if path != self._path:
                self._files.remove(path)
        self._files.sync_folder(self._folder)


def _readable(data: bytes | None) -> Record | None:
    if data is None:
        return None
    digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if sha256(body).digest() != digest:
        return None
    try:
        return message.decode(body, Record, max_bytes=MAX_RECORD_BYTES)
    except Malformed:
        return None


class Memory:
    """The record in use. Every change is on the disk before it is seen."""

    def __init__(self, file: StateFile, record: Record) -> None:
        self._file = file
        self._record = record

    @property
    def record(self) -> Record:
        return self._record

    def change(self, **fields: object) -> Record:
        """Replace fields of the record, on the disk first."""
        record = replace(self._record, **fields)
        self._file.save(record)
        self._record = record
        return record

    def forget_before(self) -> None:
        """Save the record once more: what the one before it held besides is nowhere on the disk any more."""
        self._file.save(self._record)

    def reset(self, keys: KeyMaterial) -> Record:
        """Forget the owner: the wiped record replaces the old one, and no copy of the old one stays."""
        record = after_reset(self._record, keys)
        self._file.save(record)
        self._record = record
        self._file.forget_previous()
        return record


def recall(file: StateFile, make_keys: Callable[[], KeyMaterial]) -> Memory:
    """Load the record, or make the first one. A reset that was interrupted is finished.

    Raises `ConfigurationError` if the state is damaged.
    """
    record = file.load()
    if record is None:
        record = first_record(make_keys())
        file.save(record)
    elif not record.owned:
        file.forget_previous()
    return Memory(file, record)


class FolderLock:
    """Holds a state folder for one agent; the lock ends with the process."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if needed. Raises `ConfigurationError` if another agent holds it."""
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ConfigurationError(f"Another agent uses {folder}. Stop it, or choose another --state.") from None

    def release(self) -> None:
        os.close(self._descriptor)
