"""Endorsement keys: templates, and certificate chains that lead to a trusted maker or do not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from admittance.errors import EkRefused, Malformed
from admittance.protocol.tpm import keys
from admittance.protocol.tpm.ek import check_ek, check_template
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Attributes, Public, Scheme, Symmetric
from tests.swtpm_world import EkAuthority, key_usage
from tests.tpm_material import p256, public_of

NOW = datetime(2026, 7, 1, tzinfo=UTC)
POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
POLICY_B = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")
POLICY_B_384 = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)
LOW, HIGH = Attributes(0x000300B2), Attributes(0x000300F2)
RSA_KEY = rsa.generate_private_key(65537, 2048)
P384_KEY = ec.generate_private_key(ec.SECP384R1())


def ek(key: Any, attributes: Attributes, policy: bytes, bits: int, name_alg: int = alg.SHA256) -> Public:
    public = public_of(key, attributes, None, name_alg, policy)
    return replace(public, parameters=replace(public.parameters, symmetric=Symmetric(bits)))


EKS = {
    "L-1": ek(RSA_KEY, LOW, POLICY_A, 128),
    "L-2": ek(p256("ek"), LOW, POLICY_A, 128),
    "H-1": ek(RSA_KEY, HIGH, POLICY_B, 128),
    "H-2": ek(p256("ek"), HIGH, POLICY_B, 128),
    "H-3": ek(P384_KEY, HIGH, POLICY_B_384, 256, alg.SHA384),
}
EK = EKS["L-2"]
AUTHORITY = EkAuthority("Maker", p256("maker"), NOW)
INTERMEDIATE_KEY = p256("intermediate")
INTERMEDIATE = AUTHORITY.ca("Plant", INTERMEDIATE_KEY, "Maker", AUTHORITY.key)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def endorsed(**changes: object) -> bytes:
    return AUTHORITY.endorse(keys.spki(EK), **changes)


def check(*chain: bytes, public: Public = EK, roots: tuple[x509.Certificate, ...] = (), at: datetime = NOW) -> None:
    check_ek(chain, roots or (AUTHORITY.certificate,), public, at.timestamp())


@pytest.mark.parametrize("name", EKS)
def test_each_template_with_its_certificate(name: str) -> None:
    public = EKS[name]
    check(AUTHORITY.endorse(keys.spki(public)), public=public)


def test_chains() -> None:
    leaf = endorsed(issuer="Plant", signed_by=INTERMEDIATE_KEY)
    check(leaf, der(INTERMEDIATE))
    check(leaf, der(INTERMEDIATE), AUTHORITY.der)
    check(endorsed(), AUTHORITY.der)
    check(endorsed(), roots=(EkAuthority("Another", p256("another"), NOW).certificate, AUTHORITY.certificate))


@pytest.mark.parametrize(
    "public",
    [
        replace(EK, auth_policy=b""),
        replace(EK, auth_policy=POLICY_B),
        replace(EK, attributes=HIGH),
        replace(EK, attributes=LOW & ~Attributes.FIXED_TPM),
        replace(EK, attributes=LOW & ~Attributes.RESTRICTED),
        replace(EK, attributes=LOW | Attributes.SIGN),
        replace(EK, name_alg=alg.SHA384),
        replace(EK, parameters=replace(EK.parameters, symmetric=Symmetric(256))),
        replace(EK, parameters=replace(EK.parameters, symmetric=None)),
        replace(EK, parameters=replace(EK.parameters, scheme=Scheme(alg.ECDSA, alg.SHA256))),
        ek(P384_KEY, LOW, POLICY_A, 128),
        ek(rsa.generate_private_key(65537, 3072), LOW, POLICY_A, 128),
    ],
)
def test_a_key_of_no_template(public: Public) -> None:
    with pytest.raises(EkRefused):
        check_template(public)
    with pytest.raises(EkRefused):
        check(AUTHORITY.endorse(keys.spki(public)), public=public)


PURPOSES = [ExtendedKeyUsageOID.CLIENT_AUTH]
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
PLANT = {"issuer": "Plant", "signed_by": INTERMEDIATE_KEY}


@pytest.mark.parametrize(
    "chain",
    [
        (),
        (AUTHORITY.endorse(keys.spki(EKS["L-1"])),),
        (endorsed(ca=True),),
        (endorsed(usage=key_usage(key_encipherment=True)),),
        (endorsed(usage=key_usage(key_agreement=True, key_cert_sign=True)),),
        (endorsed(purposes=PURPOSES),),
        (endorsed(extensions=[UNKNOWN]),),
        (endorsed(signed_by=p256("forger")),),
        (endorsed(issuer="Plant"), der(INTERMEDIATE)),
        (endorsed(**PLANT),),
        (endorsed(**PLANT), AUTHORITY.der),
        (endorsed(**PLANT), der(AUTHORITY.ca("Plant", INTERMEDIATE_KEY, "Maker", p256("forger")))),
        (endorsed(**PLANT), der(AUTHORITY.ca("Plant", INTERMEDIATE_KEY, "Maker", AUTHORITY.key, signs=False))),
        (endorsed(**PLANT), AUTHORITY.endorse(keys.spki(EK))),
        (endorsed(**PLANT), der(INTERMEDIATE), der(INTERMEDIATE), der(INTERMEDIATE), AUTHORITY.der),
    ],
    ids=[
        "no chain",
        "another key's certificate",
        "a CA's certificate",
        "key usage of RSA",
        "may sign certificates",
        "not for endorsement",
        "unknown critical extension",
        "forged",
        "issuer signed nothing",
        "intermediate missing",
        "root alone does not bridge",
        "forged intermediate",
        "intermediate may not sign",
        "intermediate is no CA",
        "too long",
    ],
)
def test_a_chain_that_proves_nothing(chain: tuple[bytes, ...]) -> None:
    with pytest.raises(EkRefused):
        check(*chain)


def test_a_path_that_is_longer_than_its_root_allows() -> None:
    deeper_key = p256("deeper")
    deeper = AUTHORITY.ca("Line", deeper_key, "Plant", INTERMEDIATE_KEY)
    leaf = AUTHORITY.endorse(keys.spki(EK), issuer="Line", signed_by=deeper_key)
    with pytest.raises(EkRefused):
        check(leaf, der(deeper), der(INTERMEDIATE))


@pytest.mark.parametrize("at", [NOW - timedelta(days=1), NOW + timedelta(days=31)])
def test_a_certificate_that_is_not_valid_now(at: datetime) -> None:
    with pytest.raises(EkRefused, match="not valid now"):
        check(endorsed(), at=at)


def test_an_endorsement_key_is_not_a_root_itself() -> None:
    leaf = endorsed()
    with pytest.raises(EkRefused):
        check(leaf, roots=(x509.load_der_x509_certificate(leaf),))


@pytest.mark.parametrize("certificate", [b"", b"\x30\x00", endorsed()[:-1], endorsed() + b"\0"])
def test_bytes_that_are_no_certificate(certificate: bytes) -> None:
    with pytest.raises(Malformed):
        check(certificate)


def test_a_maker_that_is_not_trusted() -> None:
    with pytest.raises(EkRefused, match="trusted maker"):
        check(endorsed(), roots=(EkAuthority("Maker", p256("forger"), NOW).certificate,))
