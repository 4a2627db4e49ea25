"""A site with devices that have TPMs: genuine ones, and some whose TPM the attacker had made elsewhere."""

import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.maker.tpm import manufacture
from admittance.tpm.software import software_tpm
from admittance.wire import message
from admittance.wire.birth import EkKind
from admittance.wire.enrolment import Enrolled, TpmProof
from admittance.wire.tpm_enrolment import (
    ConnectionNonce,
    CredentialChallenge,
    SessionChallengeRequest,
    SessionProof,
)
from tests.attack.site import CBOR, Login, Site
from tests.tpm_device import TpmDevice, tpm_device
from tests.tpm_made import NOW, authority

METER, KIOSK = "meter-1", "kiosk-1"
STATUS = "/device/status"


@dataclass
class Kept:
    """An operational key as its TPM keeps it, with its certificates (DER, leaf first)."""

    key: bytes
    chain: list[bytes]


@dataclass
class TpmSite:
    site: Site
    folder: Path
    stack: ExitStack
    http: list[httpx.AsyncClient] = field(default_factory=list)

    def device(self, model: str = METER, kind: EkKind = "p256", *, tpm_maker: str = "tpm-maker") -> TpmDevice:
        """A device that its maker certified, with a TPM of its own by that TPM maker; the server trusts one."""
        state = self.folder / f"tpm-{secrets.token_hex(4)}"
        manufacture(state, kind, authority(self.folder / tpm_maker), NOW)
        device = tpm_device(self.stack.enter_context(software_tpm(state)), model)
        public_key = serialization.load_der_public_key(device.identity.spki)
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        device.certificate = self.site.maker.certify(
            public_key, device_id=device.device_id, model=model, now=datetime.now(UTC).replace(microsecond=0)
        )
        return device

    async def credential(self, device: TpmDevice, **changes: object) -> httpx.Response:
        content = message.encode(device.credential_request(**changes))
        return await self.site.device_side.post("/enrolment/tpm/credential", content=content, headers=CBOR)

    async def proof(self, device: TpmDevice, **changes: object) -> TpmProof:
        answer = await self.credential(device, **changes)
        assert answer.is_success, answer.text
        return device.answer(message.decode(answer.content, CredentialChallenge))

    async def request(
        self, device: TpmDevice, ticket: bytes = b"", key: bytes = b"", proof: TpmProof | None = None
    ) -> bytes:
        """A request as the device itself would make it."""
        nonce = await self.site.nonce(device.device_id)
        proof = proof or await self.proof(device)
        return device.attested_request(key or device.tpm.make_key(), nonce, proof, ticket)

    async def enrol(self, device: TpmDevice, ticket: bytes = b"") -> Kept:
        key = device.tpm.make_key()
        answer = await self.site.hand_in(await self.request(device, ticket, key))
        assert answer.is_success, answer.text
        return Kept(key, message.decode(answer.content, Enrolled, max_bytes=len(answer.content)).chain)

    async def onboard(self, login: Login, device: TpmDevice) -> Kept:
        return await self.enrol(device, (await self.site.claim(login, device)).ticket)

    @asynccontextmanager
    async def session(self, port: int | None = None) -> AsyncIterator["Session"]:
        """One TLS connection to the first-contact listener."""
        context = ssl.create_default_context(cadata=self.site.keystore.tls_anchor.certificate_pem.decode())
        async with httpx.AsyncClient(
            base_url=f"https://localhost:{port or self.site.stage.ports.first_contact}",
            verify=context,
            trust_env=False,
            timeout=30.0,
            limits=httpx.Limits(max_connections=1),
        ) as http:
            answer = await http.get("/tpm-session/nonce")
            assert answer.is_success, answer.text
            shown = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert(True)
            nonce = message.decode(answer.content, ConnectionNonce).nonce
            yield Session(http, nonce, sha256(shown).digest())


@dataclass
class Session:
    """A connection on which a device may prove itself."""

    http: httpx.AsyncClient
    nonce: bytes
    server_sha256: bytes

    async def challenge(self, device_id: str) -> CredentialChallenge:
        content = message.encode(SessionChallengeRequest(device_id))
        answer = await self.http.post("/tpm-session/challenge", content=content, headers=CBOR)
        assert answer.is_success, answer.text
        return message.decode(answer.content, CredentialChallenge)

    async def hand_in(self, device_id: str, challenge_id: bytes, signature: bytes) -> httpx.Response:
        content = message.encode(SessionProof(device_id, challenge_id, signature))
        return await self.http.post("/tpm-session", content=content, headers=CBOR)

    async def prove(self, device: TpmDevice, key: bytes) -> httpx.Response:
        """As the device itself does it."""
        challenge = await self.challenge(device.device_id)
        signature = device.session_signature(key, challenge, self.nonce, self.server_sha256)
        return await self.hand_in(device.device_id, challenge.challenge_id, signature)

    async def status(self) -> httpx.Response:
        return await self.http.get(STATUS)


def tpm_settings(folder: Path) -> str:
    """Of a server whose model `METER` needs a TPM, and `KIOSK` one that booted what nothing boots."""
    authority(folder / "tpm-maker")
    return f"""
[tpm]
ek_roots = ["{folder / "tpm-maker" / "ek-ca.pem"}"]

[models."{METER}"]
display_name = "{METER}"
presence = "display"
minimum_assurance = "tpm"
makers = ["acme"]

[models."{KIOSK}"]
display_name = "{KIOSK}"
presence = "display"
makers = ["acme"]
pcrs = {{ "sha256:16" = ["{"11" * 32}"] }}
"""
