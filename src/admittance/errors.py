"""Every error that Admittance raises on purpose.

::

    AdmittanceError
    ├── Malformed                    bytes that do not decode
    ├── Misuse                       our own code called a machine in the wrong state
    ├── ConfigurationError           a setting, a file or a key that an operator must mend
    ├── Unavailable                  something we depend on does not answer: try again later
    │   └── SessionLost              a session with a device ended: open another
    ├── NetworkFailure               joining a network, or reaching a host through it, failed
    │   ├── JoinFailed
    │   ├── Unreachable
    │   └── ServerRefused            the server answered, and refused
    ├── AuditBroken                  the audit log was changed, or its end was cut off
    └── Refused                      the peer asked for what it may not have
        ├── AuthenticationFailed     a proof, a password or a token did not hold
        │   ├── SignatureInvalid
        │   ├── WrongCode            the possession code is wrong, outdated or spent
        │   └── NonceRequired        carry the server's nonce and ask again
        ├── NotAllowed               known, but without the authority
        ├── NotFound
        ├── AlreadyUsed              a single-use thing was used before
        │   └── TicketUsed
        ├── Expired
        ├── Throttled                too many tries: wait `retry_after_s`
        ├── QuotaExceeded
        ├── TooLarge                 a request beyond its size limit
        ├── Conflict                 the thing is in a state that forbids it
        ├── InsecureDevice           a device that offers less than Security 2, patch version 1
        ├── DeviceRefused            a device refused a request; `reason` is its word for it
        ├── KeyRefused               a key that our key rules do not allow
        ├── WrongDevice              a message of, or for, another device
        ├── WrongChallenge           a signed message answers another challenge or nonce
        ├── EvidenceRefused          evidence is signed, but not for this
        │   ├── WrongOrigin
        │   └── WrongBinding
        └── ConfigurationRefused     a sealed configuration is not for this device now
            ├── UntrustedSigner
            ├── WrongPurpose
            ├── WrongEpoch
            ├── WrongNonce
            ├── SequenceReplayed
            ├── ConfigurationExpired
            └── NotDecryptable

`code` is the stable word that APIs, logs and `--json` show. The message is for people; it names the
cause and the next step, and never holds a secret.
"""

from typing import ClassVar


class AdmittanceError(Exception):
    """Root of the hierarchy."""

    code: ClassVar[str] = "error"


class Malformed(AdmittanceError):
    """Bytes that do not decode. Decoders raise this and nothing else."""

    code = "malformed"


class Misuse(AdmittanceError):
    """Our own code called a machine in a state that does not allow the call."""

    code = "misuse"


class ConfigurationError(AdmittanceError):
    """A setting, a file or a key that an operator must mend."""

    code = "configuration"


class Unavailable(AdmittanceError):
    """Something we depend on does not answer; the same request may succeed later."""

    code = "unavailable"


class SessionLost(Unavailable):
    """A session with a device ended, or its answer got lost: open another session and ask again."""

    code = "session_lost"


class NetworkFailure(AdmittanceError):
    """A network could not be joined, or a host not reached through it.

    `cause` is one of ``wrong_password``, ``not_found``, ``no_address``, ``no_server``,
    ``server_refused``, ``untrusted_server``, ``clock``.
    """

    code = "network"

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class JoinFailed(NetworkFailure):
    """A network was not joined; `cause` is ``wrong_password``, ``not_found`` or ``no_address``."""


class Unreachable(NetworkFailure):
    """The joined network does not lead to the host; `cause` is ``no_server``."""

    def __init__(self, message: str) -> None:
        super().__init__("no_server", message)


class ServerRefused(NetworkFailure):
    """The server answered, and refused. `reason` is the `code` of its problem document (RFC 9457)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__("server_refused", message)
        self.reason = reason


class AuditBroken(AdmittanceError):
    """The audit log does not verify. `number` is the first row that is wrong or missing."""

    code = "audit_broken"

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class Refused(AdmittanceError):
    """The peer asked for what it may not have."""

    code = "refused"


class AuthenticationFailed(Refused):
    code = "authentication_failed"


class SignatureInvalid(AuthenticationFailed):
    code = "signature_invalid"


class WrongCode(AuthenticationFailed):
    """The possession code is wrong, outdated or spent."""

    code = "wrong_code"


class NonceRequired(AuthenticationFailed):
    """The proof must carry the server's current nonce (RFC 9449, section 8)."""

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("Carry the nonce of the DPoP-Nonce header in the proof and send the request again.")
        self.nonce = nonce


class NotAllowed(Refused):
    code = "not_allowed"


class NotFound(Refused):
    code = "not_found"


class AlreadyUsed(Refused):
    code = "already_used"


class TicketUsed(AlreadyUsed):
    code = "ticket_used"


class Expired(Refused):
    code = "expired"


class Throttled(Refused):
    """Too many tries. `retry_after_s` is the whole number of seconds to wait."""

    code = "throttled"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many tries. Wait {retry_after_s} s and try again.")
        self.retry_after_s = retry_after_s


class QuotaExceeded(Refused):
    code = "quota_exceeded"


class TooLarge(Refused):
    code = "too_large"


class Conflict(Refused):
    code = "conflict"


class InsecureDevice(Refused):
    """A device that offers less than Security 2 with patch version 1, or takes no possession code."""

    code = "insecure_device"


class DeviceRefused(Refused):
    """A device refused a request; `reason` is its own stable word for it."""

    code = "device_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class KeyRefused(Refused):
    code = "key_refused"


class WrongDevice(Refused):
    """A sealed configuration for another device, or a message that names another id than its identity key has."""

    code = "wrong_device"


class WrongChallenge(Refused):
    """Evidence, an enrolment request or a reset report that answers another challenge or nonce."""

    code = "wrong_challenge"


class EvidenceRefused(Refused):
    code = "evidence_refused"


class WrongOrigin(EvidenceRefused):
    code = "wrong_origin"


class WrongBinding(EvidenceRefused):
    code = "wrong_binding"


class ConfigurationRefused(Refused):
    code = "configuration_refused"


class UntrustedSigner(ConfigurationRefused):
    code = "untrusted_signer"


class WrongPurpose(ConfigurationRefused):
    code = "wrong_purpose"


class WrongEpoch(ConfigurationRefused):
    code = "wrong_epoch"


class WrongNonce(ConfigurationRefused):
    code = "wrong_nonce"


class SequenceReplayed(ConfigurationRefused):
    code = "sequence_replayed"


class ConfigurationExpired(ConfigurationRefused):
    code = "configuration_expired"


class NotDecryptable(ConfigurationRefused):
    code = "not_decryptable"
