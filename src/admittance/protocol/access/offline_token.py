"""Offline tokens: CWTs for devices that never meet their server (see `docs/protocol/offline.md`).

Signed by the server's device token key, which the device was told in its sealed configuration; the possession key
travels inside, encrypted to the device's access key. Signature, audience, epoch and sequence are checked before
anything is decrypted.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import (
    Expired,
    Malformed,
    OutsideWindow,
    SequenceReplayed,
    SignatureInvalid,
    WrongDevice,
    WrongEpoch,
    WrongOrigin,
)
from admittance.protocol.access.encrypted_key import decrypt_key, encrypt_key
from admittance.protocol.signing import Signer, load_public_key, sign1, verify1
from admittance.wire import cwt
from admittance.wire.access import OfflineKey
from admittance.wire.channel import Permission, kid_of
from admittance.wire.cose import KID, Sign1
from admittance.wire.cose_key import SymmetricCoseKey
from admittance.wire.cwt import Claims, EncryptedKeyConfirmation, OfflineStanding

MAX_LIFETIME_S: Final = 3600
MAX_EXI_S: Final = 2700
"""With the age that a nonce may have (15 minutes), an hour."""

MAX_TOKEN_BYTES: Final = 2048
TOKEN_ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class OfflineGrant:
    """What a token says. `token` (16 bytes) names it and its key; `standing` has epoch, sequence and grant; `name` is
    the client's, for people. Times are Unix seconds. `cnonce` and `exi_s` are there for a device without a clock."""

    issuer: str
    audience: str
    token: bytes
    name: str
    standing: OfflineStanding
    scope: tuple[Permission, ...]
    issued_at: int
    not_before: int
    expires_at: int
    cnonce: bytes = b""
    exi_s: int | None = None


@dataclass(frozen=True)
class Audience:
    """What a device holds a token against: its server, its own URI, its access key, and the keys that sign."""

    issuer: str
    audience: str
    token_keys: tuple[bytes, ...]
    access_key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the device knows of what has ended: the present epoch, and the lowest sequence in it that is good."""

    epoch: int
    lowest_sequence: int


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is genuine, for this device and not ended; whether its time has come is still to be checked."""

    key: OfflineKey
    sequence: int
    issued_at: int
    cnonce: bytes
    exi_s: int | None


def issue(
    grant: OfflineGrant,
    master_secret: bytes,
    signer: Signer,
    access_spki: bytes,
    *,
    ephemeral: ec.EllipticCurvePrivateKey,
    nonce: bytes,
) -> bytes:
    """The token. `ephemeral` is a fresh P-256 key and `nonce` 12 random bytes.

    Raises `KeyRefused` if the device's access key is none.
    """
    key = SymmetricCoseKey(master_secret, grant.token)
    claims = Claims(
        issuer=grant.issuer,
        subject=grant.name,
        audience=grant.audience,
        expires_at=grant.expires_at,
        not_before=grant.not_before,
        issued_at=grant.issued_at,
        cti=grant.token,
        confirmation=EncryptedKeyConfirmation(encrypt_key(key, access_spki, ephemeral, nonce)),
        scope=grant.scope,
        cnonce=grant.cnonce,
        exi_s=grant.exi_s,
        standing=grant.standing,
    )
    return sign1(signer, cwt.encode(claims), kid=kid_of(signer.spki))


def verify(data: bytes, audience: Audience, standing: Standing) -> VerifiedToken:
    """Verify a token and decrypt its key.

    Raises `Malformed`, `SignatureInvalid`, `WrongOrigin`, `WrongDevice`, `WrongEpoch`, `SequenceReplayed` or
    `NotDecryptable`, in this order of checks.
    """
    claims = cwt.decode(verify_signed(data, audience.token_keys, MAX_TOKEN_BYTES))
    token = _shaped(claims)
    if claims.issuer != audience.issuer:
        raise WrongOrigin("The token is another server's.")
    if claims.audience != audience.audience:
        raise WrongDevice("The token is for another device.")
    if token.standing.epoch != standing.epoch:
        raise WrongEpoch("The token is from the time of another owner.")
    if token.standing.sequence < standing.lowest_sequence:
        raise SequenceReplayed("The token was ended: its sequence is too low.")
    inner = decrypt_key(token.confirmation.encrypted, audience.access_key)
    if inner.kid != claims.cti or len(inner.k) != SECRET_BYTES:
        raise Malformed("a token whose key has another id, or another size")
    key = OfflineKey(
        token=claims.cti,
        master_secret=inner.k,
        grant=token.standing.grant,
        name=claims.subject,
        scope=token.scope,
        not_before=token.not_before,
        expires_at=token.expires_at,
        uses=0,
        token_sha256=sha256(data).digest(),
    )
    return VerifiedToken(key, token.standing.sequence, token.issued_at, claims.cnonce, claims.exi_s)


def verify_signed(data: bytes, token_keys: Collection[bytes], max_bytes: int) -> bytes:
    """The payload of what the server's device token key signed. Raises `Malformed` or `SignatureInvalid`."""
    signed = Sign1.decode(data, max_bytes)
    for spki in token_keys:
        if signed.protected.get(KID) == kid_of(spki):
            return verify1(signed, load_public_key(spki))
    raise SignatureInvalid("The token was signed by a key that this device was not told of.")


def check_time(token: VerifiedToken, now: float) -> None:
    """Raises `OutsideWindow` before its time and `Expired` after it. `now` is Unix time by a trusted clock."""
    if now < token.key.not_before:
        raise OutsideWindow("This token does not hold yet.")
    check_not_passed(token, now)


def check_not_passed(token: VerifiedToken, now: float) -> None:
    """Raises `Expired` if the token's time has passed at `now`, a Unix time that has certainly come."""
    if now >= token.key.expires_at:
        raise Expired("This token has expired.")


@dataclass(frozen=True, slots=True)
class _Shaped:
    standing: OfflineStanding
    confirmation: EncryptedKeyConfirmation
    scope: tuple[Permission, ...]
    issued_at: int
    not_before: int
    expires_at: int


def _shaped(claims: Claims) -> _Shaped:
    """The claims that every offline token has. Raises `Malformed`."""
    times = (claims.issued_at, claims.not_before, claims.expires_at)
    match (claims.standing, claims.confirmation, claims.scope, *times):
        case (
            OfflineStanding() as standing,
            EncryptedKeyConfirmation() as confirmation,
            tuple() as scope,
            int() as issued_at,
            int() as not_before,
            int() as expires_at,
        ):
            shaped = _Shaped(standing, confirmation, scope, issued_at, not_before, expires_at)
        case _:
            raise Malformed("an offline token that lacks a claim")
    if len(claims.cti) != TOKEN_ID_BYTES or len(claims.subject) > MAX_NAME:
        raise Malformed("an offline token whose id or subject has the wrong size")
    if not issued_at <= not_before < expires_at <= issued_at + MAX_LIFETIME_S:
        raise Malformed("an offline token that lives longer than an hour, or not at all")
    if (not claims.cnonce) != (claims.exi_s is None) or (claims.exi_s or 0) > MAX_EXI_S:
        raise Malformed("an offline token with one of cnonce and exi alone, or a lifetime that is too long")
    return shaped
