"""The login of a person at a device's own keyboard, and where the device finds its server for it.

The password travels inside TLS under anchors that the device has from the configuration root it was made with, and
in a message that its identity key signs: whoever holds no genuine device cannot even try.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from admittance.errors import SignatureInvalid, UntrustedSigner, WrongChallenge, WrongDevice, WrongNonce, WrongOrigin
from admittance.protocol.sealing.signer import verify_signer
from admittance.protocol.signing import Signer, load_public_key, sign1, verify1
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.device_id import device_id as device_id_of
from admittance.wire.factors import Bootstrap, LoginRequest


def build_login(identity: Signer, *, nonce: bytes, device_id: str, epoch: int, email: str, password: str) -> bytes:
    """A login signed by identity; `nonce` is 32 bytes from the server, `epoch` the device's own."""
    return sign1(identity, message.encode(LoginRequest(nonce, device_id, epoch, email, password)))


@dataclass(frozen=True, slots=True)
class UnverifiedLogin:
    """A login as it came in: `login.device_id` is but a hint which identity to look up."""

    login: LoginRequest
    sign1: Sign1 = field(repr=False)

    def verify(self, identity_spki: bytes, nonce: bytes) -> LoginRequest:
        """Check signature, device id and nonce. Raises `SignatureInvalid`, `WrongDevice` or `WrongChallenge`."""
        verify1(self.sign1, load_public_key(identity_spki))
        if self.login.device_id != device_id_of(identity_spki):
            raise WrongDevice("The login names another device id than its identity key has.")
        if not hmac.compare_digest(self.login.nonce, nonce):
            raise WrongChallenge("The login answers another nonce.")
        return self.login


def read_login(data: bytes) -> UnverifiedLogin:
    """Decode a login. Raises `Malformed`."""
    sign1_message = Sign1.decode(data)
    return UnverifiedLogin(message.decode(sign1_message.payload, LoginRequest), sign1_message)


def sign_bootstrap(bootstrap: Bootstrap, signer: Signer, chain: Sequence[bytes]) -> bytes:
    """`chain` is the configuration key's certificate and the configuration root (DER)."""
    return sign1(signer, message.encode(bootstrap), chain=chain)


def open_bootstrap(data: bytes, *, root_spki_sha256: bytes, device_nonce: bytes, server_origin: str) -> Bootstrap:
    """The listeners of the server that the device was made for, signed for this nonce.

    Raises `Malformed`, `UntrustedSigner`, `WrongNonce` or `WrongOrigin`.
    """
    signed = Sign1.decode(data)
    key = verify_signer(signed.chain, root_spki_sha256)
    try:
        payload = verify1(signed, key)
    except SignatureInvalid as error:
        raise UntrustedSigner("The server's answer is not signed by its configuration key.") from error
    bootstrap = message.decode(payload, Bootstrap)
    if not hmac.compare_digest(bootstrap.device_nonce, device_nonce):
        raise WrongNonce("The server's answer is for another question.")
    if bootstrap.server_origin != server_origin:
        raise WrongOrigin("The server's answer is another server's.")
    return bootstrap
