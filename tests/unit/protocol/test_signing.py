import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import KeyRefused, Malformed, SignatureInvalid
from admittance.protocol.signing import (
    SMALL_ORDER_POINTS,
    PrivateKey,
    SoftwareSigner,
    load_public_key,
    sign1,
    spki_of,
    verify1,
)
from admittance.wire import cose
from admittance.wire.cose import Sign1
from tests.wire_messages import changed

P256 = ec.derive_private_key(7, ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS: tuple[PrivateKey, ...] = (P256, ED25519)
keys = st.sampled_from(KEYS)
short = st.binary(max_size=30)

Q = 2**255 - 19
D = -121665 * pow(121666, -1, Q) % Q


@given(keys, short, short, st.none() | short, st.lists(short, max_size=3))
def test_what_was_signed_verifies(
    key: PrivateKey, payload: bytes, aad: bytes, kid: bytes | None, chain: list[bytes]
) -> None:
    signer = SoftwareSigner(key)
    message = Sign1.decode(sign1(signer, payload, chain=chain, kid=kid, external_aad=aad))
    assert verify1(message, load_public_key(signer.spki), aad) == payload
    assert message.chain == tuple(chain)
    assert message.protected.get(cose.KID) == kid
    assert message.algorithm == signer.algorithm


@given(keys, st.data())
def test_changed_bytes_are_malformed_or_do_not_verify(key: PrivateKey, data: st.DataObject) -> None:
    signed = sign1(SoftwareSigner(key), b"payload", chain=(b"certificate",))
    bad = data.draw(changed(signed))
    with pytest.raises((Malformed, SignatureInvalid)):
        verify1(Sign1.decode(bad), key.public_key())


@given(keys, short, short)
def test_other_additional_data_do_not_verify(key: PrivateKey, aad: bytes, other: bytes) -> None:
    message = Sign1.decode(sign1(SoftwareSigner(key), b"payload", external_aad=aad))
    if aad != other:
        with pytest.raises(SignatureInvalid):
            verify1(message, key.public_key(), other)


@given(keys, st.binary(max_size=200))
def test_arbitrary_signatures_do_not_verify(key: PrivateKey, signature: bytes) -> None:
    protected = cose.protected_header({cose.ALG: SoftwareSigner(key).algorithm})
    with pytest.raises(SignatureInvalid):
        verify1(Sign1(protected, b"payload", signature), key.public_key())


@pytest.mark.parametrize("key", KEYS, ids=["P-256", "Ed25519"])
def test_another_key_does_not_verify(key: PrivateKey) -> None:
    message = Sign1.decode(sign1(SoftwareSigner(key), b"payload"))
    others: tuple[PrivateKey, ...] = (
        ec.derive_private_key(8, ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
    )
    for other in others:
        with pytest.raises(SignatureInvalid):
            verify1(message, other.public_key())


@pytest.mark.parametrize("algorithm", [cose.EDDSA, -35, -7 + 2**32, 0])
def test_the_algorithm_must_be_the_key_s(algorithm: int) -> None:
    protected = cose.protected_header({cose.ALG: algorithm})
    signature = SoftwareSigner(P256).sign(cose.signature_input(protected, b"payload", b""))
    with pytest.raises(SignatureInvalid):
        verify1(Sign1(protected, b"payload", signature), P256.public_key())


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(63), b"\xff" * 64])
def test_impossible_p256_signatures_do_not_verify(signature: bytes) -> None:
    protected = cose.protected_header({cose.ALG: cose.ES256})
    with pytest.raises(SignatureInvalid):
        verify1(Sign1(protected, b"payload", signature), P256.public_key())


def test_a_p256_signature_in_der_does_not_verify() -> None:
    protected = cose.protected_header({cose.ALG: cose.ES256})
    data = cose.signature_input(protected, b"payload", b"")
    raw = SoftwareSigner(P256).sign(data)
    assert len(raw) == 64
    der = P256.sign(data, ec.ECDSA(hashes.SHA256()))
    assert decode_dss_signature(der)
    with pytest.raises(SignatureInvalid):
        verify1(Sign1(protected, b"payload", der), P256.public_key())


@pytest.mark.parametrize("key", KEYS, ids=["P-256", "Ed25519"])
def test_a_public_key_comes_back(key: PrivateKey) -> None:
    spki = spki_of(key.public_key())
    assert spki_of(load_public_key(spki)) == spki


@given(st.binary(max_size=120) | keys.flatmap(lambda key: changed(spki_of(key.public_key()))))
def test_other_bytes_are_malformed_or_refused_or_another_key(data: bytes) -> None:
    try:
        key = load_public_key(data)
    except (Malformed, KeyRefused):
        return
    assert spki_of(key) == data


@pytest.mark.parametrize(
    "key",
    [
        ec.derive_private_key(7, ec.SECP384R1()),
        ec.derive_private_key(7, ec.SECP256K1()),
        ec.derive_private_key(7, ec.BrainpoolP256R1()),
        ed448.Ed448PrivateKey.from_private_bytes(bytes(57)),
        x25519.X25519PrivateKey.from_private_bytes(bytes(32)),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "secp256k1", "brainpool", "Ed448", "X25519", "RSA"],
)
def test_other_kinds_of_keys_are_refused(key: ec.EllipticCurvePrivateKey) -> None:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyRefused):
        load_public_key(spki)
    with pytest.raises(KeyRefused):
        SoftwareSigner(key)


def test_dsa_is_refused() -> None:
    key = dsa.generate_private_key(1024).public_key()
    with pytest.raises(KeyRefused):
        load_public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_a_compressed_point_is_malformed() -> None:
    spki = spki_of(P256.public_key())
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = spki[2 : 2 + 2 + spki[3]]
    bits = b"\x03" + bytes([1 + len(point), 0]) + point
    compressed = b"\x30" + bytes([len(algorithm) + len(bits)]) + algorithm + bits
    with pytest.raises(Malformed):
        load_public_key(compressed)


def test_a_point_off_the_curve_is_malformed() -> None:
    spki = spki_of(P256.public_key())
    with pytest.raises(Malformed):
        load_public_key(spki[:-1] + bytes([spki[-1] ^ 1]))


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, Q)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, Q)
    return x % Q, y % Q


def root(value: int) -> int | None:
    candidate = pow(value, (Q + 3) // 8, Q)
    for x in (candidate, candidate * pow(2, (Q - 1) // 4, Q) % Q):
        if x * x % Q == value % Q:
            return x
    return None


def encodings(y: int) -> set[bytes]:
    """Both encodings of the ordinate `y` (which may exceed the field), if its point has an order that divides 8."""
    x = root((y * y - 1) * pow(D * y * y + 1, -1, Q))
    if x is None:
        return set()
    point = x, y % Q
    for _ in range(3):
        point = add(point, point)
    return {(y | sign << 255).to_bytes(32, "little") for sign in (0, 1)} if point == (0, 1) else set()


# Twice a point of order 8 has y = 0, so x**2 == -y**2 on the curve -x**2 + y**2 == 1 + D * x**2 * y**2.
EIGHTH_ORDER_ORDINATES = sorted(
    y % Q
    for square in ((-1 + sign * (root(1 + D) or 0)) * pow(D, -1, Q) % Q for sign in (1, -1))
    if (candidate := root(square)) is not None
    for y in (candidate, -candidate)
)


@pytest.mark.parametrize("point", sorted(SMALL_ORDER_POINTS), ids=bytes.hex)
def test_under_a_key_of_small_order_anybody_could_sign(point: bytes) -> None:
    spki = spki_of(ED25519.public_key())[:-32] + point
    with pytest.raises((KeyRefused, Malformed)):
        load_public_key(spki)


def test_the_small_order_points_are_all_of_them() -> None:
    found = set()
    for y in range(2**255 - Q):
        found |= encodings(y) | encodings(y + Q)
    found |= encodings(Q - 1)
    for y in EIGHTH_ORDER_ORDINATES:
        found |= encodings(y)
    assert found == SMALL_ORDER_POINTS


def test_ed25519_signatures_are_those_of_rfc_8032() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert SoftwareSigner(key).sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
