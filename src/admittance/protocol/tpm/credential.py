"""MakeCredential without a TPM (TPM 2.0 part 1, sections 11.4.10 and 24): a secret for one TPM and one of its keys.

TPM2_ActivateCredential gives the secret back only on the TPM that holds the endorsement key, and only if the key
named `ak_name` is loaded there. So who answers with the secret proved that both are in one TPM.
"""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from admittance.errors import EkRefused, Misuse
from admittance.protocol.tpm import keys
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import sized
from admittance.wire.tpm.credential import EncryptedPoint, EncryptedSeed, IdObject
from admittance.wire.tpm.public import HASHES, Public

Random: TypeAlias = Callable[[int], bytes]

SECRET_BYTES = 32

_IDENTITY_LABEL = b"IDENTITY\0"
_ZERO_IV = bytes(16)


def make_credential(ek_public: Public, ak_name: bytes, secret: bytes, random: Random) -> tuple[bytes, bytes]:
    """A TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET for `ek_public`.

    `ak_name` is the name of the attestation key, `secret` up to 32 bytes; `random` gives n random bytes. Raises
    `EkRefused` if `ek_public` isn't a storage key, and `Malformed` if its key is none.
    """
    if not 0 < len(secret) <= SECRET_BYTES:
        raise Misuse("the secret of a credential has 1 to 32 bytes")
    symmetric = ek_public.parameters.symmetric
    if symmetric is None:
        raise EkRefused("The endorsement key has no symmetric cipher: it is not a storage key.")
    seed, encrypted_seed = _seed(ek_public, random)
    bits = alg.DIGEST_BYTES[ek_public.name_alg] * 8
    storage_key = kdf_a(ek_public.name_alg, seed, b"STORAGE", ak_name, symmetric.key_bits)
    integrity_key = kdf_a(ek_public.name_alg, seed, b"INTEGRITY", b"", bits)
    # Each message has a key of its own, so the zero IV that part 1, section 24.4 prescribes never repeats.
    encryptor = Cipher(algorithms.AES(storage_key), CFB(_ZERO_IV)).encryptor()
    identity = encryptor.update(sized(secret)) + encryptor.finalize()
    integrity = hmac.HMAC(integrity_key, HASHES[ek_public.name_alg])
    integrity.update(identity + ak_name)
    return IdObject(integrity.finalize(), identity).encode(), encrypted_seed


def kdf_a(hash_alg: int, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa (part 1, section 11.4.10.2): NIST SP 800-108 in counter mode with HMAC."""
    derivation = KBKDFHMAC(
        algorithm=HASHES[hash_alg],
        mode=Mode.CounterMode,
        length=bits // 8,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return derivation.derive(key)


def _seed(ek_public: Public, random: Random) -> tuple[bytes, bytes]:
    """The seed, and the TPM2B_ENCRYPTED_SECRET that carries it to the key (part 1, sections B.10.3 and C.6.3)."""
    key = keys.load(ek_public)
    size = alg.DIGEST_BYTES[ek_public.name_alg]
    hash_algorithm = HASHES[ek_public.name_alg]
    if isinstance(key, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(key.curve)
        point = EncryptedPoint(*_coordinates(ephemeral.public_key()))
        # KDFe (part 1, section 11.4.10.3): NIST SP 800-56A's one-step derivation.
        info = _IDENTITY_LABEL + point.x + _coordinates(key)[0]
        seed = ConcatKDFHash(hash_algorithm, size, info).derive(ephemeral.exchange(ec.ECDH(), key))
        return seed, point.encode()
    seed = random(size)
    oaep = padding.OAEP(padding.MGF1(hash_algorithm), hash_algorithm, _IDENTITY_LABEL)
    return seed, EncryptedSeed(key.encrypt(seed, oaep)).encode()


def _coordinates(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers, size = key.public_numbers(), key.curve.key_size // 8
    return numbers.x.to_bytes(size), numbers.y.to_bytes(size)
