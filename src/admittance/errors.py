"""Every error that Admittance raises on purpose.

::

    AdmittanceError
    ├── Malformed                    bytes that do not decode
    ├── Misuse                       our own code called a machine in the wrong state
    ├── ConfigurationError           a setting, a file or a key that an operator must mend
    ├── Unavailable                  something we depend on does not answer: try again later
    │   ├── DeviceOffline            the device is not connected to any relay node
    │   ├── ChannelLost              the channel ended before the answer: the request may or may not have run
    │   ├── RelayBusy                the relay takes nothing now: wait `retry_after_s`, or try another
    │   ├── WebSocketClosed          a WebSocket ended; `close_code` and `reason` say why
    │   ├── ContextExhausted         an OSCORE context was used as often as its keys allow: make a new one
    │   ├── SessionLost              a session with a device ended: open another
    │   ├── TimeUnknown              a device that heard no trusted time can't tell whether access holds
    │   └── TpmUnavailable           the TPM is not there, busy, or locked out for now
    ├── TpmRefused                   the TPM refused a command
    │   └── TpmKeyLost               a kept key is not of this TPM, or from before it was cleared
    ├── NetworkFailure               joining a network, or reaching a host through it, failed
    │   ├── JoinFailed
    │   ├── Unreachable
    │   ├── UpgradeRefused           the server answered a WebSocket's upgrade with another status
    │   └── ServerRefused            the server answered, and refused
    ├── AuditBroken                  the audit log was changed, or its end was cut off
    └── Refused                      the peer asked for what it may not have
        ├── AuthenticationFailed     a proof, a password or a token did not hold
        │   ├── SignatureInvalid
        │   ├── DecryptionFailed     an OSCORE message that does not open
        │   ├── Replayed             an OSCORE message that was seen before, or is older than the window
        │   ├── WrongCode            the possession code is wrong, outdated or spent
        │   ├── FactorRefused        the second factor does not hold, whatever the reason
        │   └── NonceRequired        carry the server's nonce and ask again
        ├── NotAllowed               known, but without the authority
        │   ├── AppNotTrusted        a login that knows no more than the password
        │   ├── OutsideWindow        granted access that does not hold yet, or has ended
        │   ├── UsesSpent            granted access that was used as often as it allows
        │   ├── ScopeMissing         a token whose scope does not cover the request
        │   └── IntegrityRequired    only an app whose integrity is proven may do this
        ├── OAuthRefused             an OAuth request was refused; `code` is the `error` of RFC 6749, section 5.2
        │   ├── InvalidRequest       a parameter is missing, repeated or malformed
        │   ├── InvalidClient        the client is unknown or did not prove itself
        │   ├── InvalidGrant         a code, refresh token or device code that does not hold
        │   ├── UnauthorizedClient   the client may not use this grant
        │   ├── UnsupportedGrantType
        │   ├── UnsupportedResponseType
        │   ├── InvalidScope
        │   ├── InvalidTarget        a resource that this server issues no token for
        │   ├── InvalidDpopProof
        │   ├── AttestationChallengeRequired  carry the server's challenge in the proof of an attestation's key
        │   ├── ClientAttestationRefused      no attestation of the app, or one that does not hold
        │   │   └── FreshAttestationRequired  an attestation that has ended
        │   ├── AccessDenied         the person said no, or the password is wrong
        │   ├── AuthorizationPending the person has not answered yet (RFC 8628)
        │   ├── SlowDown             the device polls too often (RFC 8628)
        │   ├── ExpiredToken         the device code has expired (RFC 8628)
        │   └── UnsupportedTokenType
        ├── IntegrityRefused         an app did not prove that it is the untampered one, whatever the reason
        ├── FactorRequired           an enrolment needs a second factor
        ├── ApprovalPending          the owner has not yet said yes or no
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
        ├── SuiteRefused             a handshake with a cipher suite that is not ours
        ├── WrongDevice              a message of, or for, another device
        ├── WrongChallenge           a signed message answers another challenge or nonce
        ├── EvidenceRefused          evidence is signed, but not for this
        │   ├── WrongOrigin
        │   └── WrongBinding
        ├── AttestationRefused       what a TPM attests does not prove what it must
        │   ├── EkRefused            no genuine TPM of a trusted maker, or not the certificate's endorsement key
        │   ├── KeyAttributesRefused a TPM key whose attributes or scheme are not those of its purpose
        │   ├── NameMismatch         a statement about another key
        │   ├── StaleAttestation     a statement that answers another nonce
        │   ├── PcrMismatch          the platform booted something else than the model's reference
        │   └── AttestationMissing   a statement that is needed is not there, or is of the wrong kind
        └── ConfigurationRefused     a sealed configuration, or an offline token, is not for this device now
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


class DeviceOffline(Unavailable):
    """The device is connected to no relay node now."""

    code = "device_offline"


class ChannelLost(Unavailable):
    """The channel ended before the answer came: the request may or may not have been carried out."""

    code = "channel_lost"


class RelayBusy(Unavailable):
    """The relay takes nothing for now; another one may, or the same one after `retry_after_s` seconds."""

    code = "relay_busy"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("The relay is restarting or overloaded. Try again in a moment.")
        self.retry_after_s = retry_after_s


class WebSocketClosed(Unavailable):
    """A WebSocket ended. `close_code` is the peer's or our own (RFC 6455, section 7.4); 1006 when it broke."""

    code = "websocket_closed"

    def __init__(self, close_code: int, reason: str = "") -> None:
        super().__init__(f"The WebSocket was closed ({close_code}{f': {reason}' if reason else ''}).")
        self.close_code = close_code
        self.reason = reason


class ContextExhausted(Unavailable):
    """A security context has sealed as many messages, or met as many forgeries, as its keys allow: make a new one."""

    code = "context_exhausted"


class TimeUnknown(Unavailable):
    """A device has heard no trusted time since power-up: it can't tell whether granted access holds."""

    code = "time_unknown"


class TpmUnavailable(Unavailable):
    """The TPM is not there, busy, or locked out for now."""

    code = "tpm_unavailable"


class TpmRefused(AdmittanceError):
    """The TPM refused a command. `response_code` is the TSS's or the TPM's own number for the reason."""

    code = "tpm_refused"

    def __init__(self, response_code: int, message: str) -> None:
        super().__init__(message)
        self.response_code = response_code


class TpmKeyLost(TpmRefused):
    """A kept key does not load: it is another TPM's, or this TPM was cleared since. Make a new one."""

    code = "tpm_key_lost"


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


class UpgradeRefused(NetworkFailure):
    """The server answered the upgrade to a WebSocket with another status than 101.

    `headers` have their names in lower case; `body` is cut off after 16 KiB.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__("server_refused", f"The server refused the WebSocket (HTTP {status}).")
        self.status = status
        self.headers = headers
        self.body = body


class ServerRefused(NetworkFailure):
    """The server answered, and refused. `reason` is the `code` of its problem document (RFC 9457).

    `factors` are the kinds of second factor that it asks for.
    """

    def __init__(self, reason: str, message: str, factors: tuple[str, ...] = ()) -> None:
        super().__init__("server_refused", message)
        self.reason = reason
        self.factors = factors


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


class DecryptionFailed(AuthenticationFailed):
    """A protected message that does not open under the context that it names."""

    code = "decryption_failed"


class Replayed(AuthenticationFailed):
    """A protected message that was seen before, or that is older than the replay window."""

    code = "replayed"


class WrongCode(AuthenticationFailed):
    """The possession code is wrong, outdated or spent."""

    code = "wrong_code"


class FactorRefused(AuthenticationFailed):
    """The second factor does not hold: wrong, outdated, used, another's, or tried too often."""

    code = "factor_refused"


class NonceRequired(AuthenticationFailed):
    """The proof must carry the server's current nonce (RFC 9449, section 8)."""

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("Carry the nonce of the DPoP-Nonce header in the proof and send the request again.")
        self.nonce = nonce


class NotAllowed(Refused):
    code = "not_allowed"


class AppNotTrusted(NotAllowed):
    """What is asked for must not rest on a password alone: confirm this app by a second factor first."""

    code = "app_not_trusted"


class OutsideWindow(NotAllowed):
    """Granted access that does not hold yet, or has ended."""

    code = "outside_window"


class UsesSpent(NotAllowed):
    """Granted access that was used as often as it allows."""

    code = "uses_spent"


class ScopeMissing(NotAllowed):
    """The token's scope does not cover the request; `scope` would (RFC 6750, section 3.1)."""

    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This login was not given the scope {scope!r}. Log in again and allow it.")
        self.scope = scope


class IntegrityRequired(NotAllowed):
    """Only an app whose integrity is proven may do this."""

    code = "integrity_required"


class OAuthRefused(Refused):
    """An OAuth request was refused. `code` is the value of `error` (RFC 6749, section 5.2)."""

    code = "invalid_request"


class InvalidRequest(OAuthRefused):
    """A parameter is missing, repeated, malformed or not supported."""

    code = "invalid_request"


class InvalidClient(OAuthRefused):
    """The client is unknown, or did not prove itself; both look the same."""

    code = "invalid_client"


class InvalidGrant(OAuthRefused):
    """A code, refresh token or device code is unknown, expired, used, or of another client or key."""

    code = "invalid_grant"


class UnauthorizedClient(OAuthRefused):
    """The client is not registered for this grant."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthRefused):
    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthRefused):
    code = "unsupported_response_type"


class InvalidScope(OAuthRefused):
    code = "invalid_scope"


class InvalidTarget(OAuthRefused):
    """A resource that is unknown, or for which no token is issued this way (RFC 8707, section 2)."""

    code = "invalid_target"


class InvalidDpopProof(OAuthRefused):
    """The DPoP proof is missing or does not hold (RFC 9449, section 5)."""

    code = "invalid_dpop_proof"


class AttestationChallengeRequired(OAuthRefused):
    """The proof must carry the server's current challenge (attestation-based client authentication, section 6)."""

    code = "use_attestation_challenge"

    def __init__(self, challenge: str) -> None:
        super().__init__("Carry the challenge of OAuth-Client-Attestation-Challenge and send the request again.")
        self.challenge = challenge


class ClientAttestationRefused(OAuthRefused):
    """The client did not prove that it is an attested app."""

    code = "invalid_client_attestation"


class FreshAttestationRequired(ClientAttestationRefused):
    """The attestation has ended: get another one."""

    code = "use_fresh_attestation"


class AccessDenied(OAuthRefused):
    """The person refused, or could not be authenticated."""

    code = "access_denied"


class AuthorizationPending(OAuthRefused):
    """The person has not answered yet: ask again after the interval (RFC 8628, section 3.5)."""

    code = "authorization_pending"


class SlowDown(OAuthRefused):
    """Asked too early: the interval has grown by 5 s (RFC 8628, section 3.5)."""

    code = "slow_down"


class ExpiredToken(OAuthRefused):
    """The device code has expired: begin again (RFC 8628, section 3.5)."""

    code = "expired_token"


class UnsupportedTokenType(OAuthRefused):
    code = "unsupported_token_type"


class IntegrityRefused(Refused):
    """An app did not prove that it is the untampered one.

    `cause` is for the audit log: ``wrong``, ``late``, ``replayed``, ``unknown``, ``other_key``, ``malformed`` or
    ``retired``. Outside all look the same.
    """

    code = "integrity_refused"

    def __init__(self, cause: str = "") -> None:
        super().__init__("This app could not be attested. Install the original once more.")
        self.cause = cause


class FactorRequired(Refused):
    """An enrolment needs a second factor, any one of `kinds`."""

    code = "factor_required"

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__(f"A second factor is needed, one of: {', '.join(kinds)}.")
        self.kinds = kinds


class ApprovalPending(Refused):
    """The owner was asked and has not answered yet: ask again later."""

    code = "approval_pending"


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


class SuiteRefused(Refused):
    """A handshake that selects a cipher suite which we do not support."""

    code = "suite_refused"


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


class AttestationRefused(Refused):
    """What a TPM attests is well-formed, but does not prove what it must."""

    code = "attestation_refused"


class EkRefused(AttestationRefused):
    """The endorsement key is not that of a genuine TPM of a trusted maker, or not the certificate's."""

    code = "ek_refused"


class KeyAttributesRefused(AttestationRefused):
    """A TPM key's attributes or scheme are not those of its purpose."""

    code = "key_attributes_refused"


class NameMismatch(AttestationRefused):
    """A statement is about another key than the one it must be about."""

    code = "name_mismatch"


class StaleAttestation(AttestationRefused):
    """A statement answers another nonce."""

    code = "stale_attestation"


class PcrMismatch(AttestationRefused):
    """The platform booted something else than the model's reference values."""

    code = "pcr_mismatch"


class AttestationMissing(AttestationRefused):
    """A statement that is needed is not there, or is of the wrong kind."""

    code = "attestation_missing"


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
