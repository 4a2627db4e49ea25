"""Sealed configurations: sealing on the server, opening on the device."""

from admittance.protocol.sealing.configuration import Expectation, Opened, open_sealed, seal
from admittance.protocol.sealing.keys import (
    ClassicRecipient,
    ClassicSealKey,
    HybridRecipient,
    HybridSealKey,
    Recipient,
    SealKey,
    SymmetricRecipient,
    SymmetricSealKey,
    recipient,
)
from admittance.protocol.sealing.signer import spki_sha256, thumbprint

__all__ = [
    "ClassicRecipient",
    "ClassicSealKey",
    "Expectation",
    "HybridRecipient",
    "HybridSealKey",
    "Opened",
    "Recipient",
    "SealKey",
    "SymmetricRecipient",
    "SymmetricSealKey",
    "open_sealed",
    "recipient",
    "seal",
    "spki_sha256",
    "thumbprint",
]
