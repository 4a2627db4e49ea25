"""A device agent whose keys are in a software TPM, as a process of its own, and a server that knows its TPM."""

import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from admittance.device.keys import Made
from admittance.errors import AdmittanceError
from admittance.maker.tpm import manufacture
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.tpm.credential import make_credential
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.protocol.tpm.session import signing_input, verify_session
from admittance.wire import message
from admittance.wire.birth import EkKind, TpmAccess, encode_birth
from admittance.wire.tpm.public import Public
from admittance.wire.tpm_enrolment import (
    ConnectionNonce,
    CredentialChallenge,
    CredentialRequest,
    SessionChallengeRequest,
    SessionProof,
)
from tests.agent_world import Server, World, agent_world
from tests.tpm_made import NOW, authority
from tests.unit.device.births import birth_of, write_private

PCRS = "sha256:0,7"
REFUSED = (401, json.dumps({"code": "authentication_failed"}).encode())


@dataclass(frozen=True)
class PublicIdentity:
    """An identity that is in a TPM which isn't running."""

    spki: bytes
    algorithm: int = -7

    def sign(self, data: bytes) -> bytes:
        raise NotImplementedError


@dataclass
class Challenge:
    secret: bytes
    ak_public: Public


@dataclass
class TpmServer(Server):
    """Takes attested requests alone, and knows a device by a TPM session alone. `sessions` counts those that held."""

    ek_public: Public | None = None
    challenges: dict[bytes, Challenge] = field(default_factory=dict)
    attestation_keys: list[Public] = field(default_factory=list)
    operational: bytes = b""
    sessions: int = 0

    def answer(self, path: str, body: bytes, connection: dict[str, Any]) -> tuple[int, bytes]:
        assert self.made is not None
        try:
            return self._answered(path, body, connection)
        except AdmittanceError:
            return REFUSED

    def _answered(self, path: str, body: bytes, connection: dict[str, Any]) -> tuple[int, bytes]:
        assert self.made is not None
        if path == "/enrolment/tpm/credential":
            asked = message.decode(body, CredentialRequest)
            self.ek_public = Public.decode(asked.ek_public)
            return 201, self._challenge(Public.decode(asked.ak_public), PCRS)
        if path == "/enrolment/requests" and not self.refuse:
            unverified = read_request(body)
            proof = unverified.request.proof
            assert proof is not None
            challenge = self.challenges.pop(proof.challenge_id)
            assert hmac.compare_digest(challenge.secret, proof.secret)
            policy = PcrPolicy.parse(PCRS, [sha256(bytes(2 * 32)).hexdigest()])
            verified = unverified.verify_attested(
                self.made.identity.spki, self.nonce, ak_public=challenge.ak_public, pcr_policy=policy
            )
            self.attestation_keys.append(challenge.ak_public)
            self.operational = verified.operational_spki
            return self.issued(verified.operational_spki, verified.ticket)
        if path == "/tpm-session/nonce":
            connection["nonce"] = os.urandom(32)
            return 200, message.encode(ConnectionNonce(connection["nonce"]))
        if path == "/tpm-session/challenge":
            message.decode(body, SessionChallengeRequest)
            return 201, self._challenge(self.attestation_keys[-1], "")
        if path == "/tpm-session":
            self._prove(message.decode(body, SessionProof), connection)
            return 204, b""
        if path == "/device/status" and not connection.get("proven"):
            return REFUSED
        return super().answer(path, body, connection)

    def _challenge(self, ak_public: Public, pcrs: str) -> bytes:
        assert self.ek_public is not None
        challenge_id, secret = os.urandom(16), os.urandom(32)
        self.challenges[challenge_id] = Challenge(secret, ak_public)
        return message.encode(
            CredentialChallenge(
                challenge_id, *make_credential(self.ek_public, ak_public.name, secret, os.urandom), pcrs
            )
        )

    def _prove(self, proof: SessionProof, connection: dict[str, Any]) -> None:
        signed = signing_input(
            secret=self.challenges.pop(proof.challenge_id).secret,
            connection_nonce=connection["nonce"],
            server_certificate_sha256=sha256(self.leaf.certificate).digest(),
            device_id=proof.device_id,
            epoch=1,
        )
        verify_session(proof.signature, self.operational, signed)
        connection["proven"] = True
        self.sessions += 1


@asynccontextmanager
async def tpm_agent_world(directory: Path, kind: EkKind = "p256") -> AsyncIterator[World]:
    """A device with a software TPM that nobody owns, before its first power-up."""

    def make(folder: Path, **facts: Any) -> Made:
        folder.mkdir()
        made = manufacture(folder / "tpm", kind, authority(directory / "maker"), NOW)
        birth = birth_of(made.identity_spki, tpm=TpmAccess(swtpm_state="tpm"), **facts)
        write_private(folder / "birth.json", encode_birth(birth))
        return Made(birth, PublicIdentity(made.identity_spki))

    async with agent_world(directory, server=TpmServer(directory), make=make) as world:
        yield world


def tpm_server(world: World) -> TpmServer:
    assert isinstance(world.server, TpmServer)
    return world.server
