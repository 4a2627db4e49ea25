"""One conversation with a TPM, over the TSS's ESAPI.

A TPM has room for few objects (three, often), and without a resource manager what is not flushed stays there after
the process has ended. So every key and session here is a context manager that flushes it on every path, and opening a
conversation first flushes what a killed process left behind: behind a resource manager a conversation sees only its
own objects, and without one nobody else can be talking to the TPM.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from admittance.errors import ConfigurationError, TpmKeyLost, TpmRefused, TpmUnavailable

os.environ.setdefault("TSS2_LOG", "all+none")
try:
    from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_CAP, TPM2_HC, TPM2_HT, TPM2_RC, TPM2_RH, TPM2_SE, TPM2_ST
    from tpm2_pytss.ESAPI import ESAPI
    from tpm2_pytss.TSS2_Exception import TSS2_Exception
    from tpm2_pytss.types import (
        TPM2B_DIGEST,
        TPM2B_PRIVATE,
        TPM2B_PUBLIC,
        TPM2B_SENSITIVE_CREATE,
        TPMT_SIG_SCHEME,
        TPMT_SYM_DEF,
        TPMT_TK_HASHCHECK,
    )
except ImportError as error:
    raise ConfigurationError(
        "The TPM's library is missing. Install the Debian package libtss2-dev and admittance[tpm]."
    ) from error

_LAYER_MASK: Final = 0xFFFF0000
_TPM_LAYERS: Final = (0x00000000, 0x000B0000, 0x000C0000)
"""The TPM itself, and the two layers of resource managers that answer in its place."""
_BUSY: Final = frozenset({TPM2_RC.RETRY, TPM2_RC.YIELDED, TPM2_RC.TESTING, TPM2_RC.LOCKOUT, TPM2_RC.NV_UNAVAILABLE})
_FOREIGN: Final = frozenset({TPM2_RC.INTEGRITY})
_LEFT_BEHIND: Final = (TPM2_HC.TRANSIENT_FIRST, TPM2_HT.LOADED_SESSION << 24, TPM2_HT.SAVED_SESSION << 24)
_MOST_HANDLES: Final = 64


@dataclass(frozen=True)
class Key:
    """A key that is loaded until its context ends."""

    handle: ESYS_TR
    public: TPM2B_PUBLIC


class Conversation:
    """What the parts of this package ask of the TPM."""

    def __init__(self, esapi: ESAPI) -> None:
        self.esapi = esapi

    @contextmanager
    def primary(self, hierarchy: ESYS_TR, template: TPM2B_PUBLIC) -> Iterator[Key]:
        """The primary key of `template`, which is the same whenever the hierarchy's seed is."""
        handle, public, *_ = self.esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, hierarchy)
        with self._flushed(handle):
            yield Key(handle, public)

    def create(self, parent: Key, template: TPM2B_PUBLIC) -> tuple[TPM2B_PRIVATE, TPM2B_PUBLIC]:
        """A fresh key under `parent`, not loaded; the private part is encrypted by the parent."""
        private, public, *_ = self.esapi.create(parent.handle, TPM2B_SENSITIVE_CREATE(), template)
        return private, public

    @contextmanager
    def loaded(self, parent: Key, private: TPM2B_PRIVATE, public: TPM2B_PUBLIC) -> Iterator[Key]:
        """A key that `create` made; the parent is needed for the loading alone."""
        handle = self.esapi.load(parent.handle, private, public)
        with self._flushed(handle):
            yield Key(handle, public)

    @contextmanager
    def policy_session(self, digest: int) -> Iterator[ESYS_TR]:
        """A policy session with `digest` (a TPM2_ALG)."""
        handle = self.esapi.start_auth_session(
            ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), digest
        )
        with self._flushed(handle):
            yield handle

    def sign(self, key: Key, digest: bytes) -> bytes:
        """ECDSA of `key` over a SHA-256 `digest`: r and s, 32 bytes each."""
        ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        signature = self.esapi.sign(key.handle, TPM2B_DIGEST(digest), TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL), ticket)
        ecdsa = signature.signature.ecdsa
        return bytes(ecdsa.signatureR).rjust(32, b"\0") + bytes(ecdsa.signatureS).rjust(32, b"\0")

    def handles(self, first: int) -> tuple[int, ...]:
        """The TPM's own handles of the kind of `first`, from that one on (part 2, section 7.2)."""
        _, found = self.esapi.get_capability(TPM2_CAP.HANDLES, first, _MOST_HANDLES)
        return tuple(int(handle) for handle in found.data.handles)

    def flush_left_behind(self) -> None:
        """Flush every transient object and session."""
        for first in _LEFT_BEHIND:
            for handle in self.handles(first):
                self.esapi.flush_context(self.esapi.tr_from_tpmpublic(handle))

    @contextmanager
    def _flushed(self, handle: ESYS_TR) -> Iterator[None]:
        try:
            yield
        finally:
            self.esapi.flush_context(handle)


@contextmanager
def converse(tcti: str) -> Iterator[Conversation]:
    """Talk to the TPM that `tcti` leads to, such as ``device:/dev/tpmrm0`` or ``swtpm:path=/run/tpm``.

    Raises `TpmUnavailable`, `TpmKeyLost` or `TpmRefused`, also for what the block asks of the TPM.
    """
    with refusals():
        try:
            esapi = ESAPI(tcti)
        except TSS2_Exception as error:
            raise TpmUnavailable(
                f"The TPM does not answer at {tcti} ({error}). Is it there, may this user open it, and does no other "
                "program hold it?"
            ) from error
        try:
            conversation = Conversation(esapi)
            conversation.flush_left_behind()
            yield conversation
        finally:
            esapi.close()


@contextmanager
def refusals() -> Iterator[None]:
    """Raise the errors of the TSS as ours."""
    try:
        yield
    except TSS2_Exception as error:
        raise refusal_of(error) from error


def refusal_of(error: TSS2_Exception) -> TpmUnavailable | TpmRefused:
    """What an error of the TSS stands for."""
    code = int(error.rc)
    if code & _LAYER_MASK not in _TPM_LAYERS:
        return TpmUnavailable(f"The conversation with the TPM broke ({error}). It is tried again.")
    if int(error.error) in _FOREIGN:
        return TpmKeyLost(code, "The key does not load: it is another TPM's, or from before the TPM was cleared.")
    if code in _BUSY:
        return TpmUnavailable(f"The TPM can't serve now ({error}). It is tried again.")
    return TpmRefused(code, f"The TPM refused ({error}, 0x{code:03x}).")
