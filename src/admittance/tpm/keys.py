"""A device's keys in its TPM. Between two calls nothing is loaded and no connection is open.

Operational keys are kept by the device as `KeptKey`: the TPM's public area and the private part that only the storage
root of this TPM decrypts.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from threading import Lock
from typing import Any

from tpm2_pytss.constants import ESYS_TR, TPM2_ALG
from tpm2_pytss.TSS2_Exception import TSS2_Exception
from tpm2_pytss.types import (
    TPM2B_ATTEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPML_PCR_SELECTION,
    TPMT_PUBLIC,
    TPMT_SIG_SCHEME,
    TPMT_SIGNATURE,
)

from admittance.errors import Malformed, TpmKeyLost
from admittance.protocol.tpm.keys import spki as spki_of_public
from admittance.tpm import endorsement, templates
from admittance.tpm.connection import Conversation, Key, converse
from admittance.wire import message
from admittance.wire.cose import ES256
from admittance.wire.csr_attestation import TpmStatement
from admittance.wire.message import Message
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Public
from admittance.wire.tpm.signature import EcdsaSignature

COORDINATE_BYTES = 32


class KeptKey(Message, frozen=True, tag="admittance/tpm-key/1"):
    """An operational key: TPMT_PUBLIC and TPM2B_PRIVATE."""

    public: bytes
    private: bytes


class TpmSigner:
    """A `Signer` whose key is loaded for the time of each signature."""

    algorithm = ES256

    def __init__(self, spki: bytes, sign_digest: Callable[[bytes], bytes]) -> None:
        self.spki = spki
        self._sign_digest = sign_digest

    def sign(self, data: bytes) -> bytes:
        """Raises `TpmUnavailable`, `TpmKeyLost` or `TpmRefused`."""
        return self._sign_digest(sha256(data).digest())


class TpmKeys:
    """The keys in the TPM at `tcti`. Every method raises `TpmUnavailable` or `TpmRefused`; threads may share it."""

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._lock = Lock()

    def identity(self) -> TpmSigner:
        """The identity key, which is the same for the life of the TPM."""

        def sign(digest: bytes) -> bytes:
            with self._conversation() as tpm, _identity(tpm) as key:
                return tpm.sign(key, digest)

        with self._conversation() as tpm, _identity(tpm) as key:
            return TpmSigner(_spki(key.public), sign)

    def make_key(self) -> bytes:
        """A fresh operational key as `signer` takes it."""
        with self._conversation() as tpm, _storage_root(tpm) as root:
            private, public = tpm.create(root, templates.operational())
        return message.encode(KeptKey(_area(public), private.marshal()))

    def signer(self, kept: bytes) -> TpmSigner:
        """The operational key that `make_key` made. Its use raises `TpmKeyLost` if it is of another TPM, or from
        before this one was cleared; a `kept` that doesn't decode raises `TpmKeyLost` here."""
        key = _kept(kept)

        def sign(digest: bytes) -> bytes:
            with self._conversation() as tpm, _operational(tpm, key) as loaded:
                return tpm.sign(loaded, digest)

        return TpmSigner(spki_of_public(Public.decode(key.public)), sign)

    def endorsement(self) -> tuple[bytes, bytes]:
        """The endorsement key (TPMT_PUBLIC) and its certificate (DER). Raises `ConfigurationError` without one."""
        with self._conversation() as tpm:
            found = endorsement.find(tpm)
            with endorsement.loaded(tpm, found) as key:
                return _area(key.public), found.certificate

    def attestation_public(self, label: bytes) -> bytes:
        """The attestation key (TPMT_PUBLIC) of `label`, 32 bytes."""
        with self._conversation() as tpm, _attestation(tpm, label) as key:
            return _area(key.public)

    def activate(self, label: bytes, id_object: bytes, encrypted_secret: bytes) -> bytes:
        """The secret in a credential (TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET) for this TPM's endorsement key and
        the attestation key of `label`. Raises `TpmRefused` if it is for others, `Malformed` if it doesn't decode."""
        credential = _decoded(TPM2B_ID_OBJECT, id_object)
        secret = _decoded(TPM2B_ENCRYPTED_SECRET, encrypted_secret)
        with self._conversation() as tpm:
            found = endorsement.find(tpm)
            with _attestation(tpm, label) as ak:
                return endorsement.activate(tpm, found, ak, credential, secret)

    def attest(self, label: bytes, kept: bytes, nonce: bytes, pcrs: str) -> tuple[TpmStatement, ...]:
        """Statements by the attestation key of `label` over `nonce`: the operational key `kept`, the identity key,
        and a quote of `pcrs` (as in ``sha256:0,7``) unless that is empty. Raises `TpmKeyLost`."""
        with self._conversation() as tpm:
            key = _kept(kept)
            with _operational(tpm, key) as operational, _attestation(tpm, label) as ak:
                statements = [_certified(tpm, operational, ak, nonce)]
            with _identity(tpm) as identity, _attestation(tpm, label) as ak:
                statements.append(_certified(tpm, identity, ak, nonce))
                if pcrs:
                    statements.append(_quoted(tpm, ak, nonce, pcrs))
        return tuple(statements)

    @contextmanager
    def _conversation(self) -> Iterator[Conversation]:
        with self._lock, converse(self._tcti) as tpm:
            yield tpm


def read_identity(tpm: Conversation) -> bytes:
    """The identity key (SPKI) of a TPM, for its maker."""
    with _identity(tpm) as key:
        return _spki(key.public)


@contextmanager
def _identity(tpm: Conversation) -> Iterator[Key]:
    with tpm.primary(ESYS_TR.ENDORSEMENT, templates.identity()) as key:
        yield key


@contextmanager
def _attestation(tpm: Conversation, label: bytes) -> Iterator[Key]:
    with tpm.primary(ESYS_TR.ENDORSEMENT, templates.attestation(label)) as key:
        yield key


@contextmanager
def _storage_root(tpm: Conversation) -> Iterator[Key]:
    with tpm.primary(ESYS_TR.OWNER, templates.storage_root()) as key:
        yield key


@contextmanager
def _operational(tpm: Conversation, kept: KeptKey) -> Iterator[Key]:
    """The kept key; its parent is flushed before the key is used, which leaves room for two others."""
    private, public = _decoded(TPM2B_PRIVATE, kept.private), _public(kept.public)
    with ExitStack() as held:
        with _storage_root(tpm) as root:
            key = held.enter_context(tpm.loaded(root, private, public))
        yield key


def _certified(tpm: Conversation, key: Key, ak: Key, nonce: bytes) -> TpmStatement:
    attest, signature = tpm.esapi.certify(key.handle, ak.handle, nonce, TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL))
    return TpmStatement(_attested(attest), _signature(signature), _area(key.public))


def _quoted(tpm: Conversation, ak: Key, nonce: bytes, pcrs: str) -> TpmStatement:
    try:
        selection = TPML_PCR_SELECTION.parse(pcrs)
    except ValueError as error:
        raise Malformed("the server asks for a quote of registers that are none") from error
    attest, signature = tpm.esapi.quote(ak.handle, selection, nonce)
    return TpmStatement(_attested(attest), _signature(signature))


def _attested(attest: TPM2B_ATTEST) -> bytes:
    return bytes(attest.attestationData)


def _signature(signature: TPMT_SIGNATURE) -> bytes:
    """The TPMT_SIGNATURE, its integers padded: some TPMs leave leading zeros out."""
    ecdsa = signature.signature.ecdsa
    r, s = (bytes(value).rjust(COORDINATE_BYTES, b"\0") for value in (ecdsa.signatureR, ecdsa.signatureS))
    return EcdsaSignature(alg.SHA256, r, s).encode()


def _kept(data: bytes) -> KeptKey:
    try:
        return message.decode(data, KeptKey)
    except Malformed as error:
        raise TpmKeyLost(0, "The kept key is not one of a TPM.") from error


def _area(public: TPM2B_PUBLIC) -> bytes:
    return bytes(public.publicArea.marshal())


def _public(area: bytes) -> TPM2B_PUBLIC:
    return TPM2B_PUBLIC(publicArea=_decoded(TPMT_PUBLIC, area))


def _spki(public: TPM2B_PUBLIC) -> bytes:
    return spki_of_public(Public.decode(_area(public)))


def _decoded(kind: Any, data: bytes) -> Any:
    try:
        value, size = kind.unmarshal(data)
    except TSS2_Exception as error:
        raise Malformed(f"not a {kind.__name__}") from error
    if size != len(data):
        raise Malformed(f"not a {kind.__name__}")
    return value
