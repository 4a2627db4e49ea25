"""The port behind which evidence is judged: files that were measured, or an attestation by the app's platform."""

from typing import ClassVar, Protocol

import msgspec

from admittance.server.integrity.model import OpenChallenge, Release


class Verifier(Protocol):
    """Asks apps for evidence of one kind, and judges what they answer."""

    name: ClassVar[str]

    def question(self, release: Release, challenge: OpenChallenge) -> msgspec.Struct:
        """What the app is asked; sent as JSON."""
        ...

    def verify(self, release: Release, challenge: OpenChallenge, answers: msgspec.Raw) -> None:
        """Judge an answer. May take long: runs beside the event loop.

        Raises:
            IntegrityRefused: this is not the untampered app.
        """
        ...
