"""EDHOC (RFC 9528), method 3 and cipher suite 2, written from the RFC's text on `cryptography` alone.

It takes every key as an argument, so that it can follow a published trace, and checks nothing but MACs and tags: it
is the other side for tests, honest or not. Names are the RFC's.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

METHOD = 3
_HASH_BYTES, _KEY_BYTES, _IV_BYTES, _MAC_BYTES = 32, 16, 13, 8


@dataclass
class Party:
    """A static key, its credential (CRED_x) and how that is named (ID_CRED_x), all encoded."""

    private_key: ec.EllipticCurvePrivateKey
    cred: bytes
    id_cred: bytes

    @property
    def compact_id(self) -> bytes:
        """What stands for ID_CRED_x in a plaintext: a sole kid is sent without its map (section 3.5.3.2)."""
        identifier = cbor2.loads(self.id_cred)
        return as_id(identifier[4]) if list(identifier) == [4] else self.id_cred


@dataclass
class Transcript:
    """Everything that the two sides derive alike."""

    th_2: bytes = b""
    th_3: bytes = b""
    th_4: bytes = b""
    prk_2e: bytes = b""
    prk_3e2m: bytes = b""
    prk_4e3m: bytes = b""
    prk_out: bytes = b""
    mac_2: bytes = b""
    mac_3: bytes = b""

    def export(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter (section 4.2.1)."""
        prk_exporter = kdf(self.prk_out, 10, b"", _HASH_BYTES)
        return kdf(prk_exporter, label, context, length)


def private_key(scalar: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int(scalar, 16), ec.SECP256R1())


def x_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_numbers().x.to_bytes(32, "big")


def dh(key: ec.EllipticCurvePrivateKey, x: bytes) -> bytes:
    return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x))


def as_id(raw: bytes) -> bytes:
    """bstr_identifier: one byte that is an encoded number stands for itself (section 3.3.2)."""
    is_number = len(raw) == 1 and (raw[0] < 0x18 or 0x20 <= raw[0] < 0x38)
    return raw if is_number else cbor2.dumps(raw)


def sequence(*items: object) -> bytes:
    return b"".join(cbor2.dumps(item) for item in items)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def extract(salt: bytes, key: bytes) -> bytes:
    return hmac.new(salt, key, hashlib.sha256).digest()


def kdf(prk: bytes, label: int, context: bytes, length: int) -> bytes:
    """EDHOC_KDF (section 4.1.2)."""
    return HKDFExpand(hashes.SHA256(), length, sequence(label, context, length)).derive(prk)


def crypt(key: bytes, iv: bytes, th: bytes) -> tuple[AESCCM, bytes, bytes]:
    return AESCCM(key, tag_length=_MAC_BYTES), iv, cbor2.dumps(["Encrypt0", b"", th])


def seal(key: bytes, iv: bytes, th: bytes, plaintext: bytes) -> bytes:
    aead, nonce, aad = crypt(key, iv, th)
    return aead.encrypt(nonce, plaintext, aad)


def unseal(key: bytes, iv: bytes, th: bytes, ciphertext: bytes) -> bytes:
    aead, nonce, aad = crypt(key, iv, th)
    return aead.decrypt(nonce, ciphertext, aad)


def items(data: bytes, count: int) -> list[object]:
    """A CBOR sequence of `count` items."""
    return list(cbor2.loads(bytes((0x80 | count,)) + data))


def raw_id(item: object) -> bytes:
    return item if isinstance(item, bytes) else cbor2.dumps(item)


@dataclass
class ReferenceInitiator:
    own: Party
    peer_cred: bytes
    peer_id_cred: bytes
    peer_x: bytes
    ephemeral: ec.EllipticCurvePrivateKey
    c_i: bytes
    suites: object = 2
    t: Transcript = field(default_factory=Transcript)
    c_r: bytes = b""

    def message_1(self, ead: bytes = b"") -> bytes:
        self.sent = sequence(METHOD, self.suites, x_of(self.ephemeral)) + as_id(self.c_i) + ead
        return self.sent

    def receive_message_2(self, message: bytes) -> None:
        t, body = self.t, cbor2.loads(message)
        g_y, ciphertext = body[:32], body[32:]
        t.th_2 = digest(sequence(g_y, digest(self.sent)))
        t.prk_2e = extract(t.th_2, dh(self.ephemeral, g_y))
        keystream = kdf(t.prk_2e, 0, t.th_2, len(ciphertext))
        plaintext = bytes(a ^ b for a, b in zip(ciphertext, keystream, strict=True))
        c_r, _, mac_2 = items(plaintext, 3)
        self.c_r = raw_id(c_r)
        t.prk_3e2m = extract(kdf(t.prk_2e, 1, t.th_2, _HASH_BYTES), dh(self.ephemeral, self.peer_x))
        t.mac_2 = mac_2_of(t, self.c_r, self.peer_id_cred, self.peer_cred)
        assert mac_2 == t.mac_2
        t.th_3 = digest(cbor2.dumps(t.th_2) + plaintext + self.peer_cred)
        t.prk_4e3m = extract(kdf(t.prk_3e2m, 5, t.th_3, _HASH_BYTES), dh(self.own.private_key, g_y))

    def message_3(self, plaintext: bytes | None = None) -> bytes:
        """`plaintext` replaces the honest one."""
        t = self.t
        t.mac_3 = mac_3_of(t, self.own.id_cred, self.own.cred)
        plaintext = self.own.compact_id + cbor2.dumps(t.mac_3) if plaintext is None else plaintext
        finish(t, plaintext, self.own.cred)
        return cbor2.dumps(seal(kdf(t.prk_3e2m, 3, t.th_3, _KEY_BYTES), iv_3(t), t.th_3, plaintext))

    def receive_message_4(self, message: bytes) -> bytes:
        return unseal(*keys_4(self.t), cbor2.loads(message))


@dataclass
class ReferenceResponder:
    own: Party
    peer_cred: bytes
    peer_id_cred: bytes
    peer_x: bytes
    ephemeral: ec.EllipticCurvePrivateKey
    c_r: bytes
    t: Transcript = field(default_factory=Transcript)
    c_i: bytes = b""

    def receive_message_1(self, message: bytes) -> None:
        self.received = message
        _, _, self.g_x, c_i = items(message, 4)
        self.c_i = raw_id(c_i)

    def message_2(self) -> bytes:
        t, g_y = self.t, x_of(self.ephemeral)
        t.th_2 = digest(sequence(g_y, digest(self.received)))
        t.prk_2e = extract(t.th_2, dh(self.ephemeral, self.g_x))
        t.prk_3e2m = extract(kdf(t.prk_2e, 1, t.th_2, _HASH_BYTES), dh(self.own.private_key, self.g_x))
        t.mac_2 = mac_2_of(t, self.c_r, self.own.id_cred, self.own.cred)
        plaintext = as_id(self.c_r) + self.own.compact_id + cbor2.dumps(t.mac_2)
        keystream = kdf(t.prk_2e, 0, t.th_2, len(plaintext))
        t.th_3 = digest(cbor2.dumps(t.th_2) + plaintext + self.own.cred)
        return cbor2.dumps(g_y + bytes(a ^ b for a, b in zip(plaintext, keystream, strict=True)))

    def receive_message_3(self, message: bytes) -> None:
        t = self.t
        t.prk_4e3m = extract(kdf(t.prk_3e2m, 5, t.th_3, _HASH_BYTES), dh(self.ephemeral, self.peer_x))
        plaintext = unseal(kdf(t.prk_3e2m, 3, t.th_3, _KEY_BYTES), iv_3(t), t.th_3, cbor2.loads(message))
        _, mac_3 = items(plaintext, 2)
        t.mac_3 = mac_3_of(t, self.peer_id_cred, self.peer_cred)
        assert mac_3 == t.mac_3
        finish(t, plaintext, self.peer_cred)

    def message_4(self) -> bytes:
        return cbor2.dumps(seal(*keys_4(self.t), b""))


def mac_2_of(t: Transcript, c_r: bytes, id_cred: bytes, cred: bytes) -> bytes:
    return kdf(t.prk_3e2m, 2, as_id(c_r) + id_cred + cbor2.dumps(t.th_2) + cred, _MAC_BYTES)


def mac_3_of(t: Transcript, id_cred: bytes, cred: bytes) -> bytes:
    return kdf(t.prk_4e3m, 6, id_cred + cbor2.dumps(t.th_3) + cred, _MAC_BYTES)


def iv_3(t: Transcript) -> bytes:
    return kdf(t.prk_3e2m, 4, t.th_3, _IV_BYTES)


def keys_4(t: Transcript) -> tuple[bytes, bytes, bytes]:
    return kdf(t.prk_4e3m, 8, t.th_4, _KEY_BYTES), kdf(t.prk_4e3m, 9, t.th_4, _IV_BYTES), t.th_4


def finish(t: Transcript, plaintext_3: bytes, cred_i: bytes) -> None:
    t.th_4 = digest(cbor2.dumps(t.th_3) + plaintext_3 + cred_i)
    t.prk_out = kdf(t.prk_4e3m, 7, t.th_4, _HASH_BYTES)
