"""Somebody with a copy of a device's disk, who stands in its network, with another TPM or a moment at the device's.

Each method tries one way to be the device, and returns how it was refused: the stable word of the refusal.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from admittance.demo.steps import NotShown
from admittance.device.clock import TrustedClock
from admittance.device.contact import (
    CertifiedListener,
    FirstContact,
    SessionProver,
    TpmSessionListener,
    https_client,
)
from admittance.device.http import HttpsClient
from admittance.device.keys import load_private_key, make_private_key
from admittance.device.radio.simulated import SimulatedRadio
from admittance.device.requests import SoftwareRequests, Wanted
from admittance.device.state import Operational, Record, ServerContact, StateFile
from admittance.device.tpm.requests import TpmRequests
from admittance.device.tpm.session import TpmProver
from admittance.device.upkeep import cause_of
from admittance.errors import AdmittanceError
from admittance.protocol.signing import Signer, SoftwareSigner
from admittance.protocol.tpm.session import sign_session, signing_input
from admittance.tpm.keys import TpmKeys
from admittance.wire.tpm_enrolment import CredentialChallenge

STATUS = "/device/status"
SECRET_BYTES = 32


@dataclass(frozen=True)
class Impostor:
    """`record` is what the disk holds, `device_id` who it is that is to be impersonated."""

    device_id: str
    record: Record
    server: ServerContact
    operational: Operational
    clock: TrustedClock
    radio: SimulatedRadio

    @classmethod
    @asynccontextmanager
    async def with_disk(cls, state: Path, device_id: str, premises: Path) -> AsyncIterator["Impostor"]:
        """Join the network that the state folder of an enrolled device names."""
        record = StateFile(state).load()
        if record is None or record.server is None or record.operational is None or record.network is None:
            raise NotShown(f"The device in {state} is enrolled.")
        server, operational, network = record.server, record.operational, record.network
        radio = await SimulatedRadio.attach(premises, "impostor")
        try:
            await radio.join(network.ssid, network.passphrase)
            clock = TrustedClock(time.monotonic, record.time_floor)
            yield cls(device_id, record, server, operational, clock, radio)
        finally:
            await radio.close()

    async def open_session(self, tpm: TpmKeys) -> str:
        """Answer the server's challenge by `tpm`."""
        prover = TpmProver(
            tpm,
            device_id=self.device_id,
            epoch=self.record.epoch,
            label=self.record.keys.attestation,
            kept=self.operational.key,
        )
        return await self._session(prover)

    async def guess_session(self) -> str:
        """Answer the server's challenge by a made-up secret, signed by a key of one's own."""
        key = SoftwareSigner(load_private_key(make_private_key()))
        return await self._session(_Guesser(self.device_id, self.record.epoch, key))

    async def ask_without_session(self) -> str:
        """Ask the device API on the first-contact listener right away."""
        return await _refused(CertifiedListener(self._client, self.server.first_contact_url).ask("GET", STATUS))

    async def ask_device_listener(self) -> str:
        """Ask the device listener, which wants a client certificate: the key of the one on the disk is in a TPM."""
        return await _refused(CertifiedListener(self._client, self.server.device_url).ask("GET", STATUS))

    async def enrol(self, tpm: TpmKeys) -> str:
        """Ask for a certificate in the device's name, with everything that `tpm` can attest."""
        label = os.urandom(SECRET_BYTES)
        requests = TpmRequests(tpm, tpm.identity(), lambda: label)
        return await self._enrol(requests, tpm.make_key())

    async def enrol_software_key(self, identity: Signer) -> str:
        """Have the device's own `identity` sign a request for a key that is in no TPM: malware there could."""
        return await self._enrol(SoftwareRequests(identity), make_private_key())

    @property
    def _client(self) -> HttpsClient:
        return https_client(self.radio, self.server.anchors, self.clock)

    async def _session(self, prover: SessionProver) -> str:
        listener = TpmSessionListener(self._client, self.server.first_contact_url, prover)
        return await _refused(listener.ask("GET", STATUS))

    async def _enrol(self, requests: TpmRequests | SoftwareRequests, key: bytes) -> str:
        contact = FirstContact(self._client, self.server.first_contact_url, self.clock)
        nonce = await contact.nonce(self.device_id)
        wanted = Wanted(key=key, nonce=nonce, device_id=self.device_id, epoch=self.record.epoch, ticket=b"")
        request = await requests.build(wanted, contact)
        return await _refused(contact.enrol(request.data))


@dataclass(frozen=True)
class _Guesser:
    """A `SessionProver` that never saw the secret."""

    device_id: str
    epoch: int
    key: Signer

    async def prove(
        self, _challenge: CredentialChallenge, *, connection_nonce: bytes, server_certificate_sha256: bytes
    ) -> bytes:
        data = signing_input(
            secret=os.urandom(SECRET_BYTES),
            connection_nonce=connection_nonce,
            server_certificate_sha256=server_certificate_sha256,
            device_id=self.device_id,
            epoch=self.epoch,
        )
        return sign_session(self.key, data)


async def _refused(attempt: Awaitable[object]) -> str:
    try:
        await attempt
    except AdmittanceError as error:
        return cause_of(error)
    return ""
