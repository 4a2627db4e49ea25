"""Our structures and MakeCredential against tpm2-pytss (libtss2) and swtpm."""

import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tpm2_pytss import ESAPI
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_ECC, TPM2_GENERATED, TPM2_SE, TPM2_ST, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPML_DIGEST,
    TPML_PCR_SELECTION,
    TPMS_ATTEST,
    TPMS_CERTIFY_INFO,
    TPMS_CLOCK_INFO,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_PCR_SELECTION,
    TPMS_QUOTE_INFO,
    TPMS_RSA_PARMS,
    TPMS_SCHEME_HASH,
    TPMS_SIGNATURE_ECC,
    TPMS_SIGNATURE_RSA,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_PUBLIC,
    TPMT_RSA_SCHEME,
    TPMT_SIG_SCHEME,
    TPMT_SIGNATURE,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMU_ASYM_SCHEME,
    TPMU_ATTEST,
    TPMU_PUBLIC_ID,
    TPMU_PUBLIC_PARMS,
    TPMU_SIGNATURE,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

from admittance.protocol.tpm import certify, credential, keys, quote
from admittance.wire.tpm.attest import Attest, CertifyInfo, QuoteInfo
from admittance.wire.tpm.credential import IdObject, decode_encrypted_secret
from admittance.wire.tpm.public import Attributes, EccParameters, Public, RsaParameters
from admittance.wire.tpm.signature import EcdsaSignature, decode_signature
from tests.swtpm_world import EK_KINDS, EkAuthority, EkKind, Swtpm, swtpm

OBJECTS = 1000
HASHES = {TPM2_ALG.SHA256: 32, TPM2_ALG.SHA384: 48, TPM2_ALG.SHA512: 64}
CURVES = {TPM2_ECC.NIST_P256: (32, ec.SECP256R1()), TPM2_ECC.NIST_P384: (48, ec.SECP384R1())}
RSA_KEYS = {bits: rsa.generate_private_key(65537, bits).public_key() for bits in (2048, 3072)}
FLAGS = [int(attribute) for attribute in Attributes]
POLICY_C_SHA384 = bytes.fromhex(
    "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"
)


def symmetric(chance: random.Random) -> TPMT_SYM_DEF_OBJECT:
    if chance.random() < 0.5:
        return TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
    bits = TPMU_SYM_KEY_BITS(aes=chance.choice([128, 256]))
    return TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.AES, keyBits=bits, mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB))


def a_hash(chance: random.Random) -> TPM2_ALG:
    return chance.choice(list(HASHES))


def name(chance: random.Random) -> bytes:
    algorithm = a_hash(chance)
    return int(algorithm).to_bytes(2) + chance.randbytes(HASHES[algorithm])


def ecc_public(chance: random.Random) -> tuple[TPMU_PUBLIC_PARMS, TPMU_PUBLIC_ID, int]:
    curve = chance.choice(list(CURVES))
    size, kind = CURVES[curve]
    numbers = ec.derive_private_key(chance.randrange(1, 2**250), kind).public_key().public_numbers()
    details = TPMU_ASYM_SCHEME(ecdsa=TPMS_SCHEME_HASH(hashAlg=a_hash(chance)))
    scheme = chance.choice(
        [TPMT_ECC_SCHEME(scheme=TPM2_ALG.NULL), TPMT_ECC_SCHEME(scheme=TPM2_ALG.ECDSA, details=details)]
    )
    parameters = TPMS_ECC_PARMS(
        symmetric=symmetric(chance), scheme=scheme, curveID=curve, kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL)
    )
    point = TPMS_ECC_POINT(x=numbers.x.to_bytes(size), y=numbers.y.to_bytes(size))
    return TPMU_PUBLIC_PARMS(eccDetail=parameters), TPMU_PUBLIC_ID(ecc=point), int(TPM2_ALG.ECC)


def rsa_public(chance: random.Random) -> tuple[TPMU_PUBLIC_PARMS, TPMU_PUBLIC_ID, int]:
    bits = chance.choice(list(RSA_KEYS))
    details = TPMU_ASYM_SCHEME(rsassa=TPMS_SCHEME_HASH(hashAlg=a_hash(chance)))
    scheme = chance.choice(
        [TPMT_RSA_SCHEME(scheme=TPM2_ALG.NULL), TPMT_RSA_SCHEME(scheme=TPM2_ALG.RSASSA, details=details)]
    )
    parameters = TPMS_RSA_PARMS(symmetric=symmetric(chance), scheme=scheme, keyBits=bits, exponent=0)
    modulus = RSA_KEYS[bits].public_numbers().n.to_bytes(bits // 8)
    return TPMU_PUBLIC_PARMS(rsaDetail=parameters), TPMU_PUBLIC_ID(rsa=modulus), int(TPM2_ALG.RSA)


def public(chance: random.Random) -> bytes:
    parameters, unique, kind = chance.choice([ecc_public, rsa_public])(chance)
    name_alg = a_hash(chance)
    theirs = TPMT_PUBLIC(
        type=kind,
        nameAlg=name_alg,
        objectAttributes=TPMA_OBJECT(sum(chance.sample(FLAGS, chance.randrange(len(FLAGS))))),
        authPolicy=chance.choice([b"", chance.randbytes(HASHES[name_alg])]),
        parameters=parameters,
        unique=unique,
    )
    ours = Public.decode(theirs.marshal())
    agree_on_public(ours, theirs)
    return bytes(theirs.marshal())


def agree_on_public(ours: Public, theirs: TPMT_PUBLIC) -> None:
    assert ours.encode() == theirs.marshal()
    assert ours.name == bytes(theirs.get_name())
    assert (ours.name_alg, int(ours.attributes)) == (theirs.nameAlg, int(theirs.objectAttributes))
    assert ours.auth_policy == bytes(theirs.authPolicy)
    detail = (
        theirs.parameters.eccDetail if isinstance(ours.parameters, EccParameters) else theirs.parameters.rsaDetail
    )
    scheme, cipher = ours.parameters.scheme, ours.parameters.symmetric
    assert detail.scheme.scheme == (TPM2_ALG.NULL if scheme is None else scheme.algorithm)
    assert detail.symmetric.algorithm == (TPM2_ALG.NULL if cipher is None else TPM2_ALG.AES)
    assert cipher is None or detail.symmetric.keyBits.aes == cipher.key_bits
    if isinstance(ours.parameters, RsaParameters):
        assert scheme is None or detail.scheme.details.rsassa.hashAlg == scheme.hash
        assert (ours.parameters.key_bits, ours.parameters.modulus) == (detail.keyBits, bytes(theirs.unique.rsa))
    else:
        assert scheme is None or detail.scheme.details.ecdsa.hashAlg == scheme.hash
        point = bytes(theirs.unique.ecc.x), bytes(theirs.unique.ecc.y)
        assert (ours.parameters.curve, ours.parameters.x, ours.parameters.y) == (detail.curveID, *point)
    assert keys.spki(ours) == spki_by_pytss(theirs)


def spki_by_pytss(theirs: TPMT_PUBLIC) -> bytes:
    return bytes(TPM2B_PUBLIC(publicArea=theirs).to_der())


def attest(chance: random.Random) -> bytes:
    quoted = chance.random() < 0.5
    if quoted:
        banks = chance.sample(list(HASHES), chance.randrange(1, 4))
        pcrs = [chance.sample(range(24), chance.randrange(1, 25)) for _ in banks]
        selections = TPML_PCR_SELECTION(
            [TPMS_PCR_SELECTION(hash=bank, pcrs=chosen) for bank, chosen in zip(banks, pcrs, strict=True)]
        )
        digest = chance.randbytes(chance.choice(list(HASHES.values())))
        body = TPMU_ATTEST(quote=TPMS_QUOTE_INFO(pcrSelect=selections, pcrDigest=digest))
    else:
        body = TPMU_ATTEST(certify=TPMS_CERTIFY_INFO(name=name(chance), qualifiedName=name(chance)))
    theirs = TPMS_ATTEST(
        magic=TPM2_GENERATED.VALUE,
        type=TPM2_ST.ATTEST_QUOTE if quoted else TPM2_ST.ATTEST_CERTIFY,
        qualifiedSigner=name(chance),
        extraData=chance.randbytes(chance.randrange(65)),
        clockInfo=TPMS_CLOCK_INFO(
            clock=chance.getrandbits(64),
            resetCount=chance.getrandbits(32),
            restartCount=chance.getrandbits(32),
            safe=chance.getrandbits(1),
        ),
        firmwareVersion=chance.getrandbits(64),
        attested=body,
    )
    agree_on_attest(Attest.decode(theirs.marshal()), theirs)
    return bytes(theirs.marshal())


def agree_on_attest(ours: Attest, theirs: TPMS_ATTEST) -> None:
    assert ours.encode() == theirs.marshal()
    clock = theirs.clockInfo
    assert (ours.qualified_signer, ours.extra_data) == (bytes(theirs.qualifiedSigner), bytes(theirs.extraData))
    assert (ours.clock_info.clock, ours.clock_info.reset_count) == (clock.clock, clock.resetCount)
    assert (ours.clock_info.restart_count, ours.clock_info.safe) == (clock.restartCount, bool(clock.safe))
    assert ours.firmware_version == theirs.firmwareVersion
    if isinstance(ours.attested, CertifyInfo):
        info = theirs.attested.certify
        assert (ours.attested.name, ours.attested.qualified_name) == (bytes(info.name), bytes(info.qualifiedName))
    else:
        info = theirs.attested.quote
        assert ours.attested.pcr_digest == bytes(info.pcrDigest)
        assert ours.attested.selections.encode() == info.pcrSelect.marshal()
        assert str(ours.attested.selections) == text_of(info.pcrSelect)


def text_of(selections: TPML_PCR_SELECTION) -> str:
    banks = [
        (str(TPM2_ALG(bank.hash)), sorted(pcr for pcr in range(24) if _selected(bank, pcr))) for bank in selections
    ]
    return "+".join(f"{name}:{','.join(map(str, pcrs))}" for name, pcrs in banks)


def _selected(bank: TPMS_PCR_SELECTION, pcr: int) -> bool:
    return bool(bytes(bank.pcrSelect)[pcr // 8] >> pcr % 8 & 1)


def signature(chance: random.Random) -> bytes:
    algorithm = a_hash(chance)
    if chance.random() < 0.5:
        size = chance.choice([32, 48])
        parts = TPMS_SIGNATURE_ECC(
            hash=algorithm, signatureR=chance.randbytes(size), signatureS=chance.randbytes(size)
        )
        theirs = TPMT_SIGNATURE(sigAlg=TPM2_ALG.ECDSA, signature=TPMU_SIGNATURE(ecdsa=parts))
    else:
        raw = TPMS_SIGNATURE_RSA(hash=algorithm, sig=chance.randbytes(chance.choice([256, 384, 512])))
        theirs = TPMT_SIGNATURE(sigAlg=TPM2_ALG.RSASSA, signature=TPMU_SIGNATURE(rsassa=raw))
    ours = decode_signature(theirs.marshal())
    assert ours.encode() == theirs.marshal()
    assert ours.hash == algorithm
    if isinstance(ours, EcdsaSignature):
        assert (ours.r, ours.s) == (bytes(parts.signatureR), bytes(parts.signatureS))
    else:
        assert ours.signature == bytes(raw.sig)
    return bytes(theirs.marshal())


def id_object(chance: random.Random) -> bytes:
    integrity, identity = chance.randbytes(chance.choice(list(HASHES.values()))), chance.randbytes(34)
    theirs = TPM2B_ID_OBJECT(credential=len(integrity).to_bytes(2) + integrity + identity)
    ours = IdObject.decode(theirs.marshal())
    assert ours == IdObject(integrity, identity)
    assert ours.encode() == theirs.marshal()
    return bytes(theirs.marshal())


def encrypted_secret(chance: random.Random) -> bytes:
    size = chance.choice([32, 48])
    point = TPMS_ECC_POINT(x=chance.randbytes(size), y=chance.randbytes(size))
    content = chance.choice([point.marshal(), chance.randbytes(256)])
    theirs = TPM2B_ENCRYPTED_SECRET(secret=content)
    assert decode_encrypted_secret(theirs.marshal()).encode() == theirs.marshal()
    return bytes(theirs.marshal())


MAKERS: dict[Callable[[random.Random], bytes], int] = {
    public: 400,
    attest: 300,
    signature: 200,
    id_object: 50,
    encrypted_secret: 50,
}


def test_both_read_a_thousand_different_objects_the_same() -> None:
    read = {(maker.__name__, maker(random.Random(seed))) for maker, count in MAKERS.items() for seed in range(count)}
    assert len(read) == OBJECTS


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    with swtpm(tmp_path_factory.mktemp("swtpm"), EkAuthority()) as running:
        yield running


@pytest.fixture
def esapi(tpm: Swtpm) -> Iterator[ESAPI]:
    with ESAPI(tpm.tcti) as connection:
        yield connection


def primary(esapi: ESAPI, attributes: str, algorithm: str = "ecc256:ecdsa-sha256:null") -> tuple[Any, TPM2B_PUBLIC]:
    template = TPM2B_PUBLIC.parse(algorithm, objectAttributes=TPMA_OBJECT.parse(attributes))
    handle, made, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
    return handle, made


BOUND = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"


@pytest.mark.parametrize("algorithm", ["ecc256:ecdsa-sha256:null", "rsa2048:rsassa-sha256:null"])
def test_what_a_tpm_certifies_and_quotes(esapi: ESAPI, algorithm: str) -> None:
    ak, ak_public = primary(esapi, f"{BOUND}|restricted", algorithm)
    key, key_public = primary(esapi, BOUND)
    nonce = secrets.token_bytes(32)
    try:
        signer = Public.decode(ak_public.publicArea.marshal())
        ak_key = certify.check_attestation_key(signer)
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
        statement, signed = esapi.certify(key, ak, nonce, scheme)
        certified, read = certify.verify_certified(
            attest=bytes(statement),
            signature=signed.marshal(),
            public=key_public.publicArea.marshal(),
            ak=ak_key,
            nonce=nonce,
            spki=spki_by_pytss(key_public.publicArea),
        )
        assert certified.name == bytes(key_public.publicArea.get_name())
        agree_on_attest(read, TPMS_ATTEST.unmarshal(bytes(statement))[0])
        agree_on_public(signer, ak_public.publicArea)
        quoted, signed = esapi.quote(ak, TPML_PCR_SELECTION.parse("sha256:0,7"), nonce, scheme)
        read = Attest.decode(bytes(quoted))
        assert isinstance(read.attested, QuoteInfo)
        policy = quote.PcrPolicy.parse("sha256:0,7", [read.attested.pcr_digest.hex()])
        quote.verify_quote(attest=bytes(quoted), signature=signed.marshal(), ak=ak_key, nonce=nonce, policy=policy)
    finally:
        esapi.flush_context(key)
        esapi.flush_context(ak)


@pytest.mark.parametrize("kind", EK_KINDS)
def test_a_tpm_activates_our_credentials(tpm: Swtpm, esapi: ESAPI, kind: EkKind) -> None:
    ak, ak_public = primary(esapi, f"{BOUND}|restricted")
    ek = esapi.tr_from_tpmpublic(int(tpm.ek_handle(kind), 16))
    ek_public = Public.decode(esapi.read_public(ek)[0].publicArea.marshal())
    try:
        for size in (1, 16, 32):
            secret = secrets.token_bytes(size)
            name = Public.decode(ak_public.publicArea.marshal()).name
            blob, seed = credential.make_credential(ek_public, name, secret, secrets.token_bytes)
            assert activated(esapi, kind, ak, ek, blob, seed) == secret
    finally:
        esapi.flush_context(ak)
        esapi.tr_close(ek)


def test_a_credential_for_another_key_does_not_activate(tpm: Swtpm, esapi: ESAPI) -> None:
    ak, _ = primary(esapi, f"{BOUND}|restricted")
    ek = esapi.tr_from_tpmpublic(int(tpm.ek_handle("p256"), 16))
    ek_public = Public.decode(esapi.read_public(ek)[0].publicArea.marshal())
    other = bytes.fromhex("000b") + secrets.token_bytes(32)
    blob, seed = credential.make_credential(ek_public, other, bytes(32), secrets.token_bytes)
    try:
        with pytest.raises(Exception, match="integrity"):
            activated(esapi, "p256", ak, ek, blob, seed)
    finally:
        esapi.flush_context(ak)
        esapi.tr_close(ek)


def activated(esapi: ESAPI, kind: EkKind, ak: Any, ek: Any, blob: bytes, seed: bytes) -> bytes:
    digest = TPM2_ALG.SHA384 if kind == "p384" else TPM2_ALG.SHA256
    session = esapi.start_auth_session(
        ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), digest
    )
    try:
        esapi.policy_secret(ESYS_TR.ENDORSEMENT, session, expiration=0)
        if kind == "p384":
            branch = esapi.policy_get_digest(session)
            esapi.policy_or(session, TPML_DIGEST([branch, TPM2B_DIGEST(POLICY_C_SHA384)]))
        id_object, _ = TPM2B_ID_OBJECT.unmarshal(blob)
        secret, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(seed)
        return bytes(
            esapi.activate_credential(ak, ek, id_object, secret, session1=ESYS_TR.PASSWORD, session2=session)
        )
    finally:
        esapi.flush_context(session)
