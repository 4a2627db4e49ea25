"""A TPM's statements made from keys in memory: what a TPM would sign, and what none would."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from admittance.protocol.enrolment.attested import build_attested_csr
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.csr_attestation import TpmStatement
from admittance.wire.device_id import device_id
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.attest import Attest, CertifyInfo, ClockInfo, QuoteInfo
from admittance.wire.tpm.pcr import PcrSelections
from admittance.wire.tpm.public import Attributes, EccParameters, Public, RsaParameters, Scheme
from admittance.wire.tpm.signature import EcdsaSignature, RsassaSignature

BOUND = (
    Attributes.FIXED_TPM
    | Attributes.FIXED_PARENT
    | Attributes.SENSITIVE_DATA_ORIGIN
    | Attributes.USER_WITH_AUTH
    | Attributes.SIGN
)
ECDSA_SHA256 = Scheme(alg.ECDSA, alg.SHA256)
RSASSA_SHA256 = Scheme(alg.RSASSA, alg.SHA256)
_CURVES = {"secp256r1": (alg.NIST_P256, 32), "secp384r1": (alg.NIST_P384, 48)}

NONCE = hashlib.sha256(b"attestation nonce").digest()
PCR_DIGEST = hashlib.sha256(b"what booted").digest()

AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def p256(label: str) -> ec.EllipticCurvePrivateKey:
    """The same key for the same label."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(label.encode()).digest()) >> 1, ec.SECP256R1())


def public_of(
    key: AnyKey,
    attributes: Attributes = BOUND,
    scheme: Scheme | None = ECDSA_SHA256,
    name_alg: int = alg.SHA256,
    auth_policy: bytes = b"",
) -> Public:
    """The public area of a key as a TPM would have it."""
    if isinstance(key, rsa.RSAPrivateKey):
        modulus = key.public_key().public_numbers().n.to_bytes(key.key_size // 8)
        return Public(name_alg, attributes, auth_policy, RsaParameters(None, scheme, key.key_size, modulus))
    numbers = key.public_key().public_numbers()
    curve, size = _CURVES[key.curve.name]
    point = numbers.x.to_bytes(size), numbers.y.to_bytes(size)
    return Public(name_alg, attributes, auth_policy, EccParameters(None, scheme, curve, *point))


def signed(key: AnyKey, data: bytes) -> bytes:
    """A TPMT_SIGNATURE over `data` with SHA-256."""
    if isinstance(key, rsa.RSAPrivateKey):
        return RsassaSignature(alg.SHA256, key.sign(data, padding.PKCS1v15(), hashes.SHA256())).encode()
    size = _CURVES[key.curve.name][1]
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return EcdsaSignature(alg.SHA256, r.to_bytes(size), s.to_bytes(size)).encode()


@dataclass(frozen=True)
class MemoryTpm:
    """A device's keys, and the statements about them that its attestation key signs."""

    identity: AnyKey = field(default_factory=lambda: p256("tpm identity"))
    operational: ec.EllipticCurvePrivateKey = field(default_factory=lambda: p256("tpm operational"))
    ak: AnyKey = field(default_factory=lambda: p256("tpm attestation"))
    ak_scheme: Scheme = ECDSA_SHA256
    nonce: bytes = NONCE

    @property
    def ak_public(self) -> Public:
        return public_of(self.ak, BOUND | Attributes.RESTRICTED, self.ak_scheme)

    @property
    def identity_spki(self) -> bytes:
        return SoftwareSigner(self.identity).spki

    @property
    def device_id(self) -> str:
        return device_id(self.identity_spki)

    def attest(self, attested: CertifyInfo | QuoteInfo, **changes: object) -> Attest:
        statement = Attest(
            qualified_signer=self.ak_public.name,
            extra_data=self.nonce,
            clock_info=ClockInfo(123456, 3, 1, True),
            firmware_version=0x20191023_00163636,
            attested=attested,
        )
        return replace(statement, **changes)

    def statement(self, attest: bytes, public: Public | None = None) -> TpmStatement:
        return TpmStatement(attest, signed(self.ak, attest), None if public is None else public.encode())

    def certified(self, public: Public, **changes: object) -> TpmStatement:
        return self.statement(self.attest(CertifyInfo(public.name, public.name), **changes).encode(), public)

    def quoted(self, selections: str = "sha256:0,7", digest: bytes = PCR_DIGEST, **changes: object) -> TpmStatement:
        return self.statement(self.attest(QuoteInfo(PcrSelections.parse(selections), digest), **changes).encode())

    def statements(self, *, quote: bool = False) -> tuple[TpmStatement, ...]:
        both = self.certified(public_of(self.operational)), self.certified(public_of(self.identity))
        return (*both, self.quoted()) if quote else both

    def csr(
        self,
        statements: tuple[TpmStatement, ...] | None = None,
        *,
        quote: bool = False,
        subject: str | None = None,
        change: Callable[[bytes], bytes] | None = None,
    ) -> bytes:
        """An attested request; `change` changes it before nothing signs it again."""
        chosen = self.statements(quote=quote) if statements is None else statements
        csr = build_attested_csr(SoftwareSigner(self.operational), subject or self.device_id, chosen)
        return csr if change is None else change(csr)
