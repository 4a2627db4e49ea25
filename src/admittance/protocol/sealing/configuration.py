"""Sealing a configuration on the server and opening it on the device.

Signed first, sealed inside: the device checks the signature before it uses its seal key, and the signature covers the
exact bytes of header and ciphertext. The header is HPKE's `info` (or external additional data), so neither part can
be moved to another device, purpose, epoch, sequence or transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from admittance.errors import (
    ConfigurationExpired,
    NotDecryptable,
    SequenceReplayed,
    SignatureInvalid,
    UntrustedSigner,
    WrongDevice,
    WrongEpoch,
    WrongNonce,
    WrongPurpose,
)
from admittance.protocol.sealing.keys import Random, Recipient, SealKey
from admittance.protocol.sealing.signer import thumbprint, verify_signer
from admittance.protocol.signing import Signer, sign1, verify1
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.sealed import Configuration, Envelope, Header, Purpose


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a device is ready to accept.

    `purposes` are those it accepts now; `epoch` and `last_sequence` are the highest it ever accepted. `elapsed_s` is
    the time on the monotonic clock since the device drew `device_nonce`.
    """

    device_id: str
    purposes: frozenset[Purpose]
    epoch: int
    last_sequence: int
    device_nonce: bytes
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration that is genuine, meant for this device, and new."""

    header: Header
    configuration: Configuration


def seal(
    header: Header,
    configuration: Configuration,
    recipient: Recipient,
    signer: Signer,
    chain: Sequence[bytes],
    random: Random,
) -> bytes:
    """Seal `configuration` to `recipient` and sign it.

    `chain` is the signer's certificate and the configuration root (DER). `random` gives n random bytes. Raises
    `KeyRefused` if the recipient's key isn't one.
    """
    header_bytes = message.encode(header)
    ciphertext = recipient.encrypt(message.encode(configuration), header_bytes, random)
    envelope = Envelope(header_bytes, recipient.algorithm, ciphertext)
    return sign1(signer, message.encode(envelope), chain=chain)


def open_sealed(data: bytes, *, root_spki_sha256: bytes, seal_key: SealKey, expectation: Expectation) -> Opened:
    """Verify, check and decrypt a sealed configuration.

    Raises `Malformed`, `UntrustedSigner`, `WrongDevice`, `WrongPurpose`, `WrongEpoch`, `WrongNonce`,
    `SequenceReplayed`, `ConfigurationExpired` or `NotDecryptable`, in this order of checks.
    """
    signed = Sign1.decode(data)
    header, envelope = _authenticated(signed, root_spki_sha256)
    _check(header, expectation)
    if envelope.seal_algorithm != seal_key.algorithm:
        raise NotDecryptable("The sealed configuration is sealed in another way than this device can open.")
    plaintext = seal_key.decrypt(envelope.ciphertext, envelope.header)
    return Opened(header, message.decode(plaintext, Configuration))


def _authenticated(signed: Sign1, root_spki_sha256: bytes) -> tuple[Header, Envelope]:
    chain = signed.chain
    public_key = verify_signer(chain, root_spki_sha256)
    try:
        payload = verify1(signed, public_key)
    except SignatureInvalid as error:
        raise UntrustedSigner("The signature of the sealed configuration does not hold.") from error
    envelope = message.decode(payload, Envelope)
    header = message.decode(envelope.header, Header)
    if header.signer_thumbprint != thumbprint(chain[0]):
        raise UntrustedSigner("The header of the sealed configuration names another signer.")
    return header, envelope


def _check(header: Header, expectation: Expectation) -> None:
    if header.device_id != expectation.device_id:
        raise WrongDevice("The sealed configuration is for another device.")
    if header.purpose not in expectation.purposes:
        raise WrongPurpose(f"This device does not accept a sealed configuration to {header.purpose} now.")
    _check_epoch(header, expectation)
    if header.device_nonce != expectation.device_nonce:
        raise WrongNonce("The sealed configuration belongs to another transaction: start provisioning again.")
    if header.sequence <= expectation.last_sequence:
        raise SequenceReplayed("This device already accepted a sealed configuration of this sequence or a later one.")
    if expectation.elapsed_s > header.lifetime_s:
        raise ConfigurationExpired("The sealed configuration is too old: start provisioning again.")


def _check_epoch(header: Header, expectation: Expectation) -> None:
    """A claim raises the epoch; re-provisioning keeps it, or raises it for a device that was reset."""
    if header.purpose == "activate" and header.epoch <= expectation.epoch:
        raise WrongEpoch("The sealed configuration does not raise the epoch: another owner's claim came first.")
    if header.purpose == "reprovision" and header.epoch < expectation.epoch:
        raise WrongEpoch("The sealed configuration is of an earlier owner.")
