"""What apps hand each other as text, so that a device's owner can let another app in: public, but not to be swapped.

An app shows its `AppCard`. Whoever lets it in answers with a `DeviceCard`, which tells the app the device's key.
"""

from typing import Annotated, TypeVar

import msgspec

from admittance.errors import KeyRefused, Malformed
from admittance.wire import base64url, message
from admittance.wire.channel import Credential, Spki
from admittance.wire.device_id import check_device_id
from admittance.wire.message import Message, Text, Unsigned, Word

MAX_RELAYS = 4
MAX_CARD_BYTES = 4096


class AppCard(Message, frozen=True, tag="admittance/app-card/1"):
    """An app: its channel key and the key that signs its admissions (SubjectPublicKeyInfo, P-256), and a name."""

    channel: Spki
    signing: Spki
    name: Word


class DeviceCard(Message, frozen=True, tag="admittance/device-card/1"):
    """A device, as one app introduces it to another: `origin` is its server, `channel` its key, `epoch` its owner's.

    `admission` is what lets the other app in, to be handed to the device; empty for an app that it knows already.
    """

    device_id: Word
    origin: Text
    channel: Spki
    epoch: Unsigned
    name: Word
    relay_urls: Annotated[list[Text], msgspec.Meta(max_length=MAX_RELAYS)]
    admission: Annotated[bytes, msgspec.Meta(max_length=2048)]


CardT = TypeVar("CardT", AppCard, DeviceCard)


def to_text(card: AppCard | DeviceCard) -> str:
    return base64url.encode(message.encode(card))


def from_text(text: str, kind: type[CardT]) -> CardT:
    """Read a card. Raises `Malformed` with what was expected."""
    try:
        card = message.decode(base64url.decode(text.strip()), kind, MAX_CARD_BYTES)
        Credential.from_spki(card.channel)
        if isinstance(card, AppCard):
            Credential.from_spki(card.signing)
        else:
            check_device_id(card.device_id)
    except (Malformed, KeyRefused) as error:
        shown_by = "admit credentials card" if kind is AppCard else "admit credentials add, or admit"
        raise Malformed(f"This is not the card that `{shown_by}` shows. Copy the whole text ({error}).") from error
    return card
