"""What checking a TPM's attestation and issuing a certificate costs, over the bare public-key operations alone.

A request is decoded from the wire, its identity's signature, its own signature and every statement of the TPM checked
with all that they must be held against, and a certificate is issued; no database, no HTTP. One core, one process.

- `attested_over_bare`: requests verified and issued a second, over how often a second the public-key operations in
  `OPERATIONS` are done alone, measured in the same run.
- `attested_per_second`, `bare_per_second`: the two rates.
- `quoted_over_bare`, `quoted_per_second`: the same with a quote of PCRs, which is one more verification.
- `credentials_rsa_per_second`, `credentials_p256_per_second`, `credentials_p384_per_second`: credential challenges
  made for an endorsement key of that kind.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from admittance.protocol.enrolment.building import sign_request
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.signing import SoftwareSigner
from admittance.protocol.tpm.credential import make_credential
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.wire.enrolment import EnrolmentRequest, TpmProof
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Public, Symmetric
from tests.tpm_material import PCR_DIGEST, MemoryTpm, public_of

REQUESTS = 100
ROUNDS = 20
CREDENTIALS = 200
WEEK_S = 604800

OPERATIONS = {
    "ES256 verify: enrolment request, by the identity key": 1,
    "ES256 verify: proof of possession in PKCS #10": 1,
    "ES256 verify: TPM2_Certify of the operational key": 1,
    "ES256 verify: TPM2_Certify of the identity key": 1,
    "ES256 sign: operational certificate": 1,
}
QUOTE_OPERATIONS = OPERATIONS | {"ES256 verify: TPM2_Quote": 1}

_POLICY = PcrPolicy.parse("sha256:0,7", [PCR_DIGEST.hex()])


def run() -> dict[str, float]:
    """The rates of the fastest round of each: attested requests and bare operations take turns, and the fastest round
    is the one that other work on the machine disturbed least."""
    issuer = _issuer()
    attested, quoted = _requests(quote=False), _requests(quote=True)
    attested_s, quoted_s, verify_s, sign_s = [], [], [], []
    for _ in range(ROUNDS):
        attested_s.append(_cpu_s(lambda: _enrol(attested, issuer, None)) / REQUESTS)
        verify, sign = _operations_s()
        verify_s.append(verify)
        sign_s.append(sign)
        quoted_s.append(_cpu_s(lambda: _enrol(quoted, issuer, _POLICY)) / REQUESTS)
    bare_s = _bare_s(OPERATIONS, min(verify_s), min(sign_s))
    quoted_bare_s = _bare_s(QUOTE_OPERATIONS, min(verify_s), min(sign_s))
    return {
        "attested_over_bare": bare_s / min(attested_s),
        "attested_per_second": 1 / min(attested_s),
        "bare_per_second": 1 / bare_s,
        "quoted_over_bare": quoted_bare_s / min(quoted_s),
        "quoted_per_second": 1 / min(quoted_s),
        **{f"credentials_{kind}_per_second": _credentials(public) for kind, public in _endorsement_keys().items()},
    }


@dataclass(frozen=True)
class _Request:
    """What a device sends, and what the server has kept of that device."""

    data: bytes
    nonce: bytes
    identity_spki: bytes
    ak_public: bytes


def _requests(*, quote: bool) -> list[_Request]:
    """Requests of different devices, each with its own keys and nonce."""
    return [_request(quote=quote) for _ in range(REQUESTS)]


def _request(*, quote: bool) -> _Request:
    identity, operational, ak = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    tpm = MemoryTpm(identity, operational, ak, nonce=os.urandom(32))
    proof = TpmProof(os.urandom(16), os.urandom(32))
    content = EnrolmentRequest(tpm.nonce, tpm.device_id, 1, os.urandom(32), tpm.csr(quote=quote), proof)
    data = sign_request(SoftwareSigner(identity), content)
    return _Request(data, tpm.nonce, tpm.identity_spki, tpm.ak_public.encode())


def _enrol(requests: list[_Request], issuer: CertificateIssuer, policy: PcrPolicy | None) -> None:
    now = time.time()
    for request in requests:
        ak_public = Public.decode(request.ak_public)
        verified = read_request(request.data).verify_attested(
            request.identity_spki, request.nonce, ak_public=ak_public, pcr_policy=policy
        )
        issuer.issue(verified.device_id, verified.operational_spki, WEEK_S, now)


def _issuer() -> CertificateIssuer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuing CA")])
    start = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateIssuer(key, certificate)


def _operations_s() -> tuple[float, float]:
    """CPU seconds of one ES256 verification and of one signature; as with devices, each key is another one."""
    algorithm, data = ec.ECDSA(hashes.SHA256()), os.urandom(150)
    private_keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(REQUESTS)]
    signatures = [key.sign(data, algorithm) for key in private_keys]
    pairs = list(zip([key.public_key() for key in private_keys], signatures, strict=True))
    signer = private_keys[0]
    verify = _cpu_s(lambda: [key.verify(signature, data, algorithm) for key, signature in pairs])
    sign = _cpu_s(lambda: [signer.sign(data, algorithm) for _ in range(REQUESTS)])
    return verify / REQUESTS, sign / REQUESTS


def _bare_s(operations: dict[str, int], verify_s: float, sign_s: float) -> float:
    costs = {"ES256 verify": verify_s, "ES256 sign": sign_s}
    return sum(costs[name.partition(":")[0]] * count for name, count in operations.items())


def _endorsement_keys() -> dict[str, Public]:
    rsa_key = public_of(rsa.generate_private_key(65537, 2048), scheme=None)
    p256 = public_of(ec.generate_private_key(ec.SECP256R1()), scheme=None)
    p384 = public_of(ec.generate_private_key(ec.SECP384R1()), scheme=None, name_alg=alg.SHA384)
    return {"rsa": _storage(rsa_key, 128), "p256": _storage(p256, 128), "p384": _storage(p384, 256)}


def _storage(public: Public, bits: int) -> Public:
    return replace(public, parameters=replace(public.parameters, symmetric=Symmetric(bits)))


def _credentials(ek_public: Public) -> float:
    name, secret = b"\x00\x0b" + os.urandom(32), os.urandom(32)
    return CREDENTIALS / _cpu_s(
        lambda: [make_credential(ek_public, name, secret, os.urandom) for _ in range(CREDENTIALS)]
    )


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
