"""What a device without a way to its server is told by whoever comes: the signed epoch list."""

from typing import Final

from admittance.wire.message import Message, Unsigned, Word

EPOCH_LIST_PATH: Final = "/epoch-list"
MAX_EPOCH_LIST_BYTES: Final = 512


class EpochList(Message, frozen=True, tag="admittance/epoch-list/1"):
    """What has ended on `device_id`: every owner before `epoch`, and in it every offline token whose sequence is
    below `lowest_sequence`; the payload of a COSE_Sign1 by the server's device token key. `issued_at` is a Unix
    time."""

    device_id: Word
    epoch: Unsigned
    lowest_sequence: Unsigned
    issued_at: Unsigned
