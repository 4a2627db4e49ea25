"""The attestation of this app, kept in its profile and renewed in time."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

import admittance
from admittance.client.dpop import DpopKey
from admittance.client.integrity.service import IntegrityClient
from admittance.client.private_files import read_private, write_private
from admittance.client.session_store import trust_context
from admittance.errors import ConfigurationError, NetworkFailure, NotFound, Unavailable
from admittance.wire.integrity import ATTESTATION_HEADER

ATTESTATION_FILE = "attestation.json"
OWN_FOLDER = Path(admittance.__file__).parent
"""The files of our own client: the installed package."""


class AttestedApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which app is attested, where; `folder` None for our own client, `ca_pem` None for the system's CAs."""

    service: str
    ca_pem: str | None
    client_id: str
    version: str
    folder: str | None = None


class KeptAttestation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`attestation` is a JWT that is good from `obtained_at` until `expires_at`, with the key `jkt` alone."""

    v: int = 1
    app: AttestedApp
    jkt: str
    attestation: str
    obtained_at: int
    expires_at: int

    @property
    def headers(self) -> dict[str, str]:
        """What goes with a request that carries a DPoP proof by the same key."""
        return {ATTESTATION_HEADER: self.attestation}

    def is_fresh(self, now: float) -> bool:
        """Whether more than a third of its life is left."""
        return self.expires_at - now > (self.expires_at - self.obtained_at) / 3


class Attestations:
    """The attestation in the profile `directory`, bound to `key`."""

    def __init__(self, directory: Path, key: DpopKey, *, clock: Callable[[], float] = time.time) -> None:
        self._path = directory / ATTESTATION_FILE
        self._key = key
        self._clock = clock

    def kept(self) -> KeptAttestation:
        """What the profile holds, ended or not.

        Raises:
            NotFound: this app was never attested.
            ConfigurationError: the file is damaged, or others can open it.
        """
        try:
            return msgspec.json.decode(read_private(self._path), type=KeptAttestation)
        except NotFound:
            raise NotFound("This app is not attested. Run: admit integrity attest") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(f"{self._path} is damaged. Delete it and attest again.") from None

    async def attest(self, app: AttestedApp) -> KeptAttestation:
        """Prove that this app is the untampered one, and keep the attestation. Raises as `IntegrityClient.attest`."""
        folder = OWN_FOLDER if app.folder is None else Path(app.folder)
        trust = trust_context(app.ca_pem)
        async with IntegrityClient(app.service, key=self._key, trust=trust, clock=self._clock) as client:
            attested = await client.attest(client_id=app.client_id, version=app.version, folder=folder)
        made = KeptAttestation(
            app=app,
            jkt=self._key.jkt,
            attestation=attested.attestation,
            obtained_at=int(self._clock()),
            expires_at=attested.expires_at,
        )
        write_private(self._path, msgspec.json.encode(made))
        return made

    async def headers(self) -> dict[str, str]:
        """What shows the attestation to the authorization server, renewed in time.

        Nothing where this app was never attested, its release is no longer current, or its attestation has ended
        while the service is out of reach. Raises `IntegrityRefused` when it is not the untampered app any more.
        """
        try:
            return (await self.fresh()).headers
        except (NotFound, NetworkFailure, Unavailable):
            return {}

    async def fresh(self) -> KeptAttestation:
        """The kept attestation, or a new one for the same app when it ends soon or is another key's.

        Raises as `kept` and `attest`; but while the service is out of reach, what still lives is good enough.
        """
        kept = self.kept()
        is_ours = kept.jkt == self._key.jkt
        if is_ours and kept.is_fresh(self._clock()):
            return kept
        try:
            return await self.attest(kept.app)
        except (NetworkFailure, Unavailable):
            if is_ours and kept.expires_at > self._clock():
                return kept
            raise
