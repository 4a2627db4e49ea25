"""CoAP messages in chunks, for a carrier that is in order and reliable and takes little at a time: BLE's GATT.

A message is encoded as for WebSockets (RFC 8323, section 4) and cut into chunks of at most 180 bytes under an id that
is one more than that of the message before. Nothing is asked for and nothing acknowledged: the carrier does that.
"""

from typing import Final

from admittance.errors import Malformed
from admittance.wire import chunks
from admittance.wire.chunks import BLE_CHUNK_BYTES, Assembler
from admittance.wire.coap import stream
from admittance.wire.coap.message import CoapMessage

_IDS: Final = 1 << 32


class ChunkedMessages:
    """Both directions of one link."""

    def __init__(self) -> None:
        self._next_id = 0
        self._incoming: Assembler | None = None

    def split(self, message: CoapMessage) -> tuple[bytes, ...]:
        """The chunks of a message, in order. Raises `Malformed` if it is longer than 16 KiB."""
        chunk_id, self._next_id = self._next_id, (self._next_id + 1) % _IDS
        return tuple(
            chunks.encode(chunk) for chunk in chunks.split(stream.encode(message), chunk_id, BLE_CHUNK_BYTES)
        )

    def receive(self, data: bytes) -> CoapMessage | None:
        """The message that this chunk completes. Raises `Malformed` for any chunk but the next one."""
        chunk = chunks.decode(data)
        if len(chunk.data) > BLE_CHUNK_BYTES:
            raise Malformed("A chunk is longer than those of this link.")
        if self._incoming is None:
            self._incoming = Assembler(chunk)
        else:
            self._incoming.add(chunk)
        whole = self._incoming.message
        if whole is None:
            return None
        self._incoming = None
        return stream.decode(whole)
