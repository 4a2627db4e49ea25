"""One connection to a relay node: TLS under the pinned anchors, the WebSocket, and the device's proof of itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from admittance.device.http import failures, open_tls, peer_certificate, tls_context
from admittance.device.radio.port import Radio
from admittance.errors import Malformed
from admittance.transport.websocket import Limits, WebSocket
from admittance.wire import message, relay
from admittance.wire.relay import RelayAccepted, RelayHello, RelayProof

OPEN_S: Final = 10.0
LIMITS: Final = Limits(max_message_bytes=relay.MAX_BATCH_BYTES, open_s=OPEN_S)
NO_CERTIFICATE: Final = bytes(32)
PORTS: Final = {"wss": 443, "ws": 80}

Prove = Callable[[bytes, bytes], Awaitable[RelayProof]]
"""``prove(nonce, certificate_sha256)`` gives the device's first frame on one connection."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where a relay node listens for devices. Without `tls` nothing authenticates it but EDHOC on stream 0."""

    tls: bool
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> "Node":
        """``wss://host[:port]`` or ``ws://…``. Raises `Malformed`."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise Malformed("The URL of a relay begins with wss:// or ws://.") from error
        if not parts.hostname or "@" in parts.netloc or parts.query:
            raise Malformed("The URL of a relay has a host, and neither user nor query.")
        return cls(parts.scheme == "wss", parts.hostname, port, parts.path.rstrip("/") + relay.DEVICE_PATH)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RelayConnection:
    """A WebSocket on which frames follow. `server_time` is in Unix seconds, and to be believed with `tls` only."""

    socket: WebSocket
    tls: bool
    server_time: int


async def connect(
    radio: Radio, node: Node, *, anchors: Sequence[bytes], check_peer: Callable[[bytes], None], prove: Prove
) -> RelayConnection:
    """Connect to `node` as this device.

    Raises `NetworkFailure` as `HttpsClient.request` does, `UpgradeRefused`, `WebSocketClosed` with the node's code,
    `Malformed`, and what `prove` raises.
    """
    reader, writer = await _open(radio, node, anchors, check_peer)
    try:
        certificate = sha256(peer_certificate(writer)).digest() if node.tls else NO_CERTIFICATE
        socket = await WebSocket.connect(reader, writer, host=node.authority, target=node.target, limits=LIMITS)
        with failures(node.host, OPEN_S):
            async with asyncio.timeout(OPEN_S):
                accepted = await _authenticate(socket, certificate, prove)
    except BaseException:
        writer.transport.abort()
        raise
    socket.heartbeat_s = accepted.heartbeat_s
    return RelayConnection(socket, node.tls, accepted.server_time)


async def _open(
    radio: Radio, node: Node, anchors: Sequence[bytes], check_peer: Callable[[bytes], None]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with failures(node.host, OPEN_S):
        async with asyncio.timeout(OPEN_S):
            if not node.tls:
                return await radio.open_connection(node.host, node.port)
            context = tls_context(anchors, check_time=False)
            return await open_tls(radio, node.host, node.port, context, check_peer)


async def _authenticate(socket: WebSocket, certificate_sha256: bytes, prove: Prove) -> RelayAccepted:
    hello = message.decode(await socket.receive(), RelayHello)
    proof = await prove(hello.nonce, certificate_sha256)
    await socket.send(message.encode(proof))
    return message.decode(await socket.receive(), RelayAccepted)
