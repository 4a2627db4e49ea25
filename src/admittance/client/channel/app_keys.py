"""The keys by which devices know this app; they outlive logins."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.channel.cards import AppCard
from admittance.client.key_files import load_or_make_p256
from admittance.protocol.signing import SoftwareSigner, spki_of

CHANNEL_KEY_FILE = "channel.key"
SIGNING_KEY_FILE = "signing.key"
MAX_NAME_CHARACTERS = 64

_MEND = "Delete it, and have another app or the recovery kit let this one in again."


@dataclass(frozen=True)
class AppKeys:
    """`channel` proves this app to devices in EDHOC; `signing` signs the admissions that it gives to others."""

    channel: ec.EllipticCurvePrivateKey
    signing: ec.EllipticCurvePrivateKey

    @classmethod
    def of_profile(cls, directory: Path) -> "AppKeys":
        """The keys of a profile, made at first use. Raises `ConfigurationError`."""
        return cls(
            load_or_make_p256(directory / CHANNEL_KEY_FILE, _MEND),
            load_or_make_p256(directory / SIGNING_KEY_FILE, _MEND),
        )

    def card(self, name: str) -> AppCard:
        """What others need to let this app in; of `name` at most 64 characters are shown."""
        return AppCard(
            spki_of(self.channel.public_key()), spki_of(self.signing.public_key()), name[:MAX_NAME_CHARACTERS]
        )

    def signer(self) -> SoftwareSigner:
        """Signs admissions."""
        return SoftwareSigner(self.signing)
