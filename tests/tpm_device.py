"""A fake device whose keys are in a software TPM, and what it sends to a server."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tpm2_pytss.constants import TPM2_ALG, TPMA_OBJECT
from tpm2_pytss.types import TPM2B_PUBLIC, TPM2B_SENSITIVE, TPMT_ASYM_SCHEME

from admittance.maker.tpm import manufacture
from admittance.protocol.enrolment.attested import build_attested_csr
from admittance.protocol.enrolment.building import sign_request
from admittance.protocol.sealing import ClassicSealKey
from admittance.protocol.signing import Signer
from admittance.protocol.tpm.session import sign_session, signing_input
from admittance.tpm.connection import Key
from admittance.tpm.keys import TpmKeys, _attestation, _certified
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind
from admittance.wire.csr_attestation import TpmStatement
from admittance.wire.device_id import device_id
from admittance.wire.enrolment import EnrolmentRequest, Factor, TpmProof
from admittance.wire.manifest import DeviceSecrets
from admittance.wire.tpm_enrolment import CredentialChallenge, CredentialRequest
from tests.device_world import FakeDevice
from tests.tpm_made import NOW, authority


@dataclass
class TpmDevice(FakeDevice):
    """`identity` signs with the TPM; `attestation_label` (32 bytes) names the attestation key."""

    tpm: TpmKeys = field(kw_only=True)
    attestation_label: bytes = field(default_factory=lambda: os.urandom(32))

    def credential_request(self, **changes: object) -> CredentialRequest:
        ek_public, certificate = self.tpm.endorsement()
        values = {
            "device_id": self.device_id,
            "ek_public": ek_public,
            "ek_chain": [certificate],
            "ak_public": self.tpm.attestation_public(self.attestation_label),
        }
        return CredentialRequest(**(values | changes))

    def answer(self, challenge: CredentialChallenge) -> TpmProof:
        secret = self.tpm.activate(self.attestation_label, challenge.id_object, challenge.encrypted_secret)
        return TpmProof(challenge.challenge_id, secret)

    def attested_request(
        self,
        kept: bytes,
        nonce: bytes,
        proof: TpmProof | None,
        ticket: bytes = b"",
        *,
        pcrs: str = "",
        factor: Factor | None = None,
        statements: tuple[TpmStatement, ...] | None = None,
        signer: Signer | None = None,
    ) -> bytes:
        """A signed request for the operational key `kept`, with statements of this TPM unless others are given."""
        if statements is None:
            statements = self.tpm.attest(self.attestation_label, kept, nonce, pcrs)
        csr = build_attested_csr(self.tpm.signer(kept), self.device_id, statements)
        request = EnrolmentRequest(nonce, self.device_id, self.epoch, ticket, csr, proof, factor)
        return sign_request(signer or self.identity, request)

    def session_signature(
        self, kept: bytes, challenge: CredentialChallenge, connection_nonce: bytes, server_sha256: bytes
    ) -> bytes:
        secret = self.tpm.activate(self.attestation_label, challenge.id_object, challenge.encrypted_secret)
        data = signing_input(
            secret=secret,
            connection_nonce=connection_nonce,
            server_certificate_sha256=server_sha256,
            device_id=self.device_id,
            epoch=self.epoch,
        )
        return sign_session(self.tpm.signer(kept), data)


def certified_from_outside(tpm: TpmKeys, label: bytes, key: ec.EllipticCurvePrivateKey, nonce: bytes) -> TpmStatement:
    """What this TPM certifies of a key that was made in software and loaded into it (TPM2_LoadExternal)."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = TPM2B_PUBLIC.from_pem(
        public_pem,
        objectAttributes=TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.USERWITHAUTH,
        scheme=TPMT_ASYM_SCHEME(scheme=TPM2_ALG.NULL),
    )
    with tpm._conversation() as conversation, _attestation(conversation, label) as ak:
        handle = conversation.esapi.load_external(public, TPM2B_SENSITIVE.from_pem(pem))
        with conversation._flushed(handle):
            return _certified(conversation, Key(handle, public), ak, nonce)


def tpm_device(tcti: str, model: str = "lamp") -> TpmDevice:
    """The device whose TPM is at `tcti`."""
    tpm = TpmKeys(tcti)
    identity = tpm.identity()
    secrets = DeviceSecrets("PROV_" + device_id(identity.spki)[2:8], os.urandom(8).hex(), None, None)
    return TpmDevice(identity, model, "display", secrets, ClassicSealKey.generate(), tpm=tpm)


@contextmanager
def running_tpms(folder: Path, *kinds: EkKind) -> Iterator[list[str]]:
    """TCTIs of software TPMs, one with each kind of endorsement key, all of the TPM maker in `folder` / ``maker``."""
    made_by = authority(folder / "maker")
    with ExitStack() as stack:
        tctis = []
        for number, kind in enumerate(kinds):
            manufacture(folder / f"tpm-{number}", kind, made_by, NOW)
            tctis.append(stack.enter_context(software_tpm(folder / f"tpm-{number}")))
        yield tctis
