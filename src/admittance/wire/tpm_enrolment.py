"""Messages of TPM enrolment and TPM sessions on the server's first-contact listener."""

from typing import Annotated

import msgspec

from admittance.wire.message import Bytes16, Bytes32, Message, Text, Word

TpmBytes = Annotated[bytes, msgspec.Meta(max_length=1024)]


class CredentialRequest(Message, frozen=True):
    """Asks for a challenge that only the TPM holding both keys can answer.

    `ek_public` and `ak_public` are TPMT_PUBLIC; `ek_chain` is the EK's certificate and what links it to a trusted
    root (DER, leaf first; the root itself may be left out).
    """

    device_id: Word
    ek_public: TpmBytes
    ek_chain: Annotated[
        list[Annotated[bytes, msgspec.Meta(max_length=4096)]], msgspec.Meta(min_length=1, max_length=4)
    ]
    ak_public: TpmBytes


class CredentialChallenge(Message, frozen=True):
    """A TPM2B_ID_OBJECT and its TPM2B_ENCRYPTED_SECRET for TPM2_ActivateCredential; single use, 5 minutes.

    `pcrs` is the selection that an attested request must quote, as in ``sha256:0,7``; empty if it must quote none.
    """

    challenge_id: Bytes16
    id_object: TpmBytes
    encrypted_secret: TpmBytes
    pcrs: Text = ""


class ConnectionNonce(Message, frozen=True):
    """Drawn once for each TLS connection."""

    nonce: Bytes32


class SessionChallengeRequest(Message, frozen=True):
    """Asks for a challenge to the registered EK and AK of that device."""

    device_id: Word


class SessionProof(Message, frozen=True):
    """Answers a challenge; `signature` (64 bytes) is the operational key's (see `protocol.tpm.session`)."""

    device_id: Word
    challenge_id: Bytes16
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
