"""Vectors of offline tokens and epoch lists."""

import dataclasses
from typing import Any

from admittance.protocol.access.device_nonces import DeviceNonces
from admittance.protocol.access.encrypted_key import encrypt_key
from admittance.protocol.access.epoch_list import sign_epoch_list
from admittance.protocol.access.offline_token import OfflineGrant, issue
from admittance.protocol.signing import sign1, spki_of
from admittance.wire import cwt, message
from admittance.wire.channel import GET, PUT, Permission, kid_of
from admittance.wire.cose import Sign1
from admittance.wire.cose_key import SymmetricCoseKey
from admittance.wire.cwt import EncryptedKeyConfirmation, OfflineStanding
from admittance.wire.offline import EpochList
from tests.vectors.making.material import DEVICE, ORIGIN, OTHER_DEVICE, DeterministicSigner, Vector, p256, seed

ISSUED_AT = 1_800_000_000
TOKEN_KEY, NEXT_KEY, OTHER_KEY = p256("token key"), p256("next token key"), p256("another server's token key")
ACCESS_KEY = p256("access key")
SECRET = seed("master secret")
NONCES = DeviceNonces(seed("nonce key"))

GRANT = OfflineGrant(
    issuer=ORIGIN,
    audience=f"{ORIGIN}/d/{DEVICE}",
    token=seed("token", 16),
    name="Guest",
    standing=OfflineStanding(3, 41, seed("grant", 16)),
    scope=(Permission("/measurements", GET), Permission("/alarm", GET | PUT)),
    issued_at=ISSUED_AT,
    not_before=ISSUED_AT + 60,
    expires_at=ISSUED_AT + 3600,
)
WITH_NONCE = dataclasses.replace(GRANT, cnonce=NONCES.make(100), exi_s=600)
EPOCH_LIST = EpochList(DEVICE, 3, 41, ISSUED_AT)

CHECK: Vector = {
    "issuer": ORIGIN,
    "audience": GRANT.audience,
    "device_id": DEVICE,
    "token_keys": [spki_of(key.public_key()).hex() for key in (TOKEN_KEY, NEXT_KEY)],
    "access_key": ACCESS_KEY.private_numbers().private_value.to_bytes(32).hex(),
    "nonce_key": seed("nonce key").hex(),
    "epoch": 3,
    "lowest_sequence": 41,
    "seen": 0,
    "first_seen_at": None,
    "monotonic": 200,
    "unix": ISSUED_AT + 120,
    "trusted": True,
}
NO_CLOCK: Vector = {"trusted": False, "unix": 0}


def token(grant: OfflineGrant = GRANT, *, key: Any = TOKEN_KEY, access: Any = ACCESS_KEY) -> bytes:
    return issue(
        grant,
        SECRET,
        DeterministicSigner(key),
        spki_of(access.public_key()),
        ephemeral=p256("ephemeral of a token"),
        nonce=seed("nonce of a token", 12),
    )


def changed(**changes: Any) -> bytes:
    return token(dataclasses.replace(GRANT, **changes))


def standing(epoch: int, sequence: int) -> OfflineStanding:
    return OfflineStanding(epoch, sequence, GRANT.standing.grant)


def signed_claims(kid: bytes = GRANT.token, secret: bytes = SECRET, **changes: Any) -> bytes:
    """A token whose claims no server would write."""
    encrypted = encrypt_key(
        SymmetricCoseKey(secret, kid),
        spki_of(ACCESS_KEY.public_key()),
        p256("ephemeral of a token"),
        seed("nonce of a token", 12),
    )
    claims = cwt.Claims(
        issuer=GRANT.issuer,
        subject=GRANT.name,
        audience=GRANT.audience,
        expires_at=GRANT.expires_at,
        not_before=GRANT.not_before,
        issued_at=GRANT.issued_at,
        cti=GRANT.token,
        confirmation=EncryptedKeyConfirmation(encrypted),
        scope=GRANT.scope,
        standing=GRANT.standing,
    )
    signer = DeterministicSigner(TOKEN_KEY)
    return sign1(signer, cwt.encode(dataclasses.replace(claims, **changes)), kid=kid_of(signer.spki))


def offline_vectors() -> Vector:
    good, with_nonce = token(), token(WITH_NONCE)
    unsigned_kid = sign1(DeterministicSigner(TOKEN_KEY), cwt.encode(cwt.Claims(issuer=ORIGIN)))
    rows: list[tuple[str, bytes, str, Vector]] = [
        ("by the clock", good, "ok", {}),
        ("at its first second", good, "ok", {"unix": GRANT.not_before}),
        ("issued just now, by a clock that lags", changed(not_before=ISSUED_AT), "ok", {"unix": ISSUED_AT - 2}),
        ("at its last second", good, "ok", {"unix": GRANT.expires_at - 1}),
        ("signed by the next key", token(key=NEXT_KEY), "ok", {}),
        ("without a clock, by the device's nonce", with_nonce, "ok", NO_CLOCK),
        ("with a nonce, by the clock too", with_nonce, "ok", {}),
        ("at the last second of exi", with_nonce, "ok", NO_CLOCK | {"first_seen_at": 150, "monotonic": 749}),
        ("issued just now for later, by a clock that lags", good, "OutsideWindow", {"unix": ISSUED_AT - 2}),
        ("a second too early", good, "OutsideWindow", {"unix": GRANT.not_before - 1}),
        ("expired", good, "Expired", {"unix": GRANT.expires_at}),
        ("exi is over", with_nonce, "Expired", NO_CLOCK | {"first_seen_at": 150, "monotonic": 750}),
        ("used before the power went", with_nonce, "Expired", NO_CLOCK | {"seen": 41}),
        (
            "expired by the floor of a device without a clock",
            with_nonce,
            "Expired",
            {"trusted": False, "unix": GRANT.expires_at},
        ),
        ("no clock and no nonce", good, "TimeUnknown", NO_CLOCK),
        ("nonce of another device", with_nonce, "WrongNonce", NO_CLOCK | {"nonce_key": bytes(32).hex()}),
        ("nonce too old", with_nonce, "WrongNonce", NO_CLOCK | {"monotonic": 1001}),
        ("nonce from the future", with_nonce, "WrongNonce", NO_CLOCK | {"monotonic": 99}),
        ("for another device", changed(audience=f"{ORIGIN}/d/{OTHER_DEVICE}"), "WrongDevice", {}),
        ("of another server", changed(issuer="https://other.example"), "WrongOrigin", {}),
        ("signed by another key", token(key=OTHER_KEY), "SignatureInvalid", {}),
        ("last byte of the signature changed", good[:-1] + bytes([good[-1] ^ 1]), "SignatureInvalid", {}),
        ("without the id of the key that signed", unsigned_kid, "SignatureInvalid", {}),
        ("of an earlier owner", changed(standing=standing(2, 41)), "WrongEpoch", {}),
        ("of a later owner", changed(standing=standing(4, 41)), "WrongEpoch", {}),
        ("of an older sequence", changed(standing=standing(3, 40)), "SequenceReplayed", {}),
        ("encrypted to another device's key", token(access=p256("other access key")), "NotDecryptable", {}),
        ("key with another id", signed_claims(kid=bytes(16)), "Malformed", {}),
        ("key of 16 bytes", signed_claims(secret=bytes(16)), "Malformed", {}),
        ("lives a second longer than an hour", changed(expires_at=ISSUED_AT + 3601), "Malformed", {}),
        ("begins before it was issued", changed(not_before=ISSUED_AT - 1), "Malformed", {}),
        ("cnonce without exi", changed(cnonce=WITH_NONCE.cnonce), "Malformed", {}),
        ("exi of more than 45 minutes", changed(cnonce=WITH_NONCE.cnonce, exi_s=2701), "Malformed", {}),
        ("without expiry", signed_claims(expires_at=None), "Malformed", {}),
        ("without standing", signed_claims(standing=None), "Malformed", {}),
        ("scope in text", signed_claims(scope="all"), "Malformed", {}),
        (
            "key in the clear",
            signed_claims(confirmation=cwt.KeyConfirmation(SymmetricCoseKey(SECRET, GRANT.token))),
            "Malformed",
            {},
        ),
        ("byte after the end", good + b"\0", "Malformed", {}),
        ("cut short", good[:-1], "Malformed", {}),
        ("an epoch list", sign_epoch_list(EPOCH_LIST, DeterministicSigner(TOKEN_KEY)), "Malformed", {}),
    ]
    return {
        "about": "offline tokens: hexadecimal; `check` of a vector changes that of the file; times in seconds",
        "check": CHECK,
        "master_secret": SECRET.hex(),
        "claims": Sign1.decode(good).payload.hex(),
        "vectors": [
            {"name": name, "check": changes, "token": data.hex(), "expected": expected}
            for name, data, expected, changes in rows
        ],
    }


def epoch_list_vectors() -> Vector:
    signer = DeterministicSigner(TOKEN_KEY)
    good = sign_epoch_list(EPOCH_LIST, signer)
    payload = message.encode(EPOCH_LIST)
    rows = [
        ("good", good, "ok"),
        ("of another device", sign_epoch_list(EpochList(OTHER_DEVICE, 3, 41, ISSUED_AT), signer), "WrongDevice"),
        ("signed by another key", sign_epoch_list(EPOCH_LIST, DeterministicSigner(OTHER_KEY)), "SignatureInvalid"),
        ("last byte of the signature changed", good[:-1] + bytes([good[-1] ^ 1]), "SignatureInvalid"),
        ("another label", sign1(signer, payload.replace(b"list/1", b"list/2"), kid=kid_of(signer.spki)), "Malformed"),
        ("an offline token", token(), "Malformed"),
        ("byte after the end", good + b"\0", "Malformed"),
    ]
    return {
        "about": "signed epoch lists: hexadecimal",
        "check": {name: CHECK[name] for name in ("device_id", "token_keys")},
        "vectors": [{"name": name, "list": data.hex(), "expected": expected} for name, data, expected in rows],
    }
